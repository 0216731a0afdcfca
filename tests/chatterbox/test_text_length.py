"""What callers are metered by."""

from chatterbox.text_length import CHARACTERS
from chatterbox.v1 import openai_service_pb2, synthesis_pb2

SPEECH = "/chatterbox.v1.TextToSpeechService/"


def test_text_is_counted_as_its_writers_count_it() -> None:
    text = "Zwölf 🎈"
    whole = synthesis_pb2.SynthesizeRequest(input=synthesis_pb2.SynthesisInput(text=text))
    piece = synthesis_pb2.StreamingSynthesizeRequest(input=whole.input)
    openai = openai_service_pb2.CreateSpeechRequest(input=text, model="tts-1")
    assert CHARACTERS[SPEECH + "Synthesize"](whole.SerializeToString()) == 7
    assert CHARACTERS[SPEECH + "StreamingSynthesize"](piece.SerializeToString()) == 7
    create = CHARACTERS["/chatterbox.v1.OpenAIService/CreateSpeech"]
    assert create(openai.SerializeToString()) == 7


def test_what_holds_no_text_counts_nothing() -> None:
    config = synthesis_pb2.StreamingSynthesizeRequest(
        streaming_config=synthesis_pb2.StreamingSynthesizeConfig()
    )
    count = CHARACTERS[SPEECH + "StreamingSynthesize"]
    assert count(config.SerializeToString()) == 0
    assert count(b"\xff\xff\xff") == 0
