"""What the first message tells, and what is left unread."""

import pytest
from google.protobuf import json_format

from balancer.metadata import request_metadata, response_metadata
from balancer.peek import is_worth_a_look, wish_of
from balancer.policy import Wish
from chatterbox.v1 import conversion_pb2, openai_service_pb2
from chatterbox.v1 import synthesis_pb2 as pb

SPEAK = "/chatterbox.v1.TextToSpeechService/Synthesize"
SPEAK_OPENAI = "/chatterbox.v1.OpenAIService/CreateSpeech"
SPEAK_LIVE = "/chatterbox.v1.TextToSpeechService/StreamingSynthesize"
VOICE = pb.VoiceSelection(name="voices/ada", model="models/tiny")


def test_a_synthesis_tells_its_voice_and_model() -> None:
    wish = Wish(voice="voices/ada", model="models/tiny")
    request = pb.SynthesizeRequest(voice=VOICE)
    config = pb.StreamingSynthesizeRequest(
        streaming_config=pb.StreamingSynthesizeConfig(voice=VOICE)
    )
    assert wish_of(SPEAK, request.SerializeToString()) == wish
    assert wish_of(SPEAK_LIVE, config.SerializeToString()) == wish


def test_a_conversion_tells_the_same() -> None:
    wish = Wish(voice="voices/ada", model="models/tiny")
    whole = conversion_pb2.ConvertRecordingRequest(voice=VOICE)
    live = conversion_pb2.ConvertVoiceRequest(config=conversion_pb2.ConvertVoiceConfig(voice=VOICE))
    service = "/chatterbox.v1.VoiceConversionService/"
    assert wish_of(service + "ConvertRecording", whole.SerializeToString()) == wish
    assert wish_of(service + "ConvertVoice", live.SerializeToString()) == wish


@pytest.mark.parametrize("voice", ["ada", {"id": "ada"}])
def test_openais_way_of_saying_it_tells_the_same(voice: object) -> None:
    request = openai_service_pb2.CreateSpeechRequest(model="tiny")
    json_format.ParseDict(voice, request.voice)
    first = request.SerializeToString()
    assert wish_of(SPEAK_OPENAI, first) == Wish(voice="voices/ada", model="models/tiny")


def test_openais_defaults_wish_for_nothing() -> None:
    first = openai_service_pb2.CreateSpeechRequest(input="Hello.").SerializeToString()
    assert wish_of(SPEAK_OPENAI, first) == Wish()


@pytest.mark.parametrize("first", [None, b"", b"\xff\xff\xff\xff"])
def test_a_first_message_that_tells_nothing_is_for_the_backend_to_judge(
    first: bytes | None,
) -> None:
    assert wish_of(SPEAK, first) == Wish()


@pytest.mark.parametrize(
    ("method", "takes_place"),
    [
        ("/chatterbox.v1.VoicesService/ListVoices", False),
        ("/chatterbox.v1.VoicesService/GetVoice", False),
        ("/chatterbox.v1.VoicesService/CreateVoice", True),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", False),
        ("/some.new.Service/Sing", True),
    ],
)
def test_only_reading_takes_no_place(method: str, *, takes_place: bool) -> None:
    assert not is_worth_a_look(method)
    assert wish_of(method, None) == Wish(takes_place=takes_place)


def test_what_belongs_to_one_connection_stays_there() -> None:
    received = (("te", "trailers"), ("user-agent", "x"), ("grpc-timeout", "1S"), ("mine", "1"))
    assert request_metadata(received, request_id="r1") == (("mine", "1"), ("x-request-id", "r1"))
    assert response_metadata((("grpc-encoding", "gzip"), ("yours", "2")), served_by="b:1") == (
        ("yours", "2"),
        ("x-served-by", "b:1"),
    )
