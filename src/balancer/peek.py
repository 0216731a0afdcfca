"""What the first message of a call tells about the backend it wants.

Only what speaks or converts is looked into, and only their first message; all else is opaque, so
that a method this balancer has never heard of works with no change here.
"""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from balancer.policy import Wish
from chatterbox.v1 import conversion_pb2, openai_service_pb2, synthesis_pb2

SPEECH = "/chatterbox.v1.TextToSpeechService/"
OPENAI = "/chatterbox.v1.OpenAIService/"
CONVERSION = "/chatterbox.v1.VoiceConversionService/"
READ_ONLY = ("Get", "List", "ServerReflectionInfo")  # AIP-131, AIP-132: cheap, and never queued


def _selected(voice: synthesis_pb2.VoiceSelection) -> Wish:
    return Wish(voice=voice.name, model=voice.model)


def _synthesize(first: bytes) -> Wish:
    return _selected(synthesis_pb2.SynthesizeRequest.FromString(first).voice)


def _streaming_synthesize(first: bytes) -> Wish:
    config = synthesis_pb2.StreamingSynthesizeRequest.FromString(first).streaming_config
    return _selected(config.voice)


def _create_speech(first: bytes) -> Wish:
    request = openai_service_pb2.CreateSpeechRequest.FromString(first)
    voice = request.voice.string_value or request.voice.struct_value.fields["id"].string_value
    # A model of OpenAI's is on no backend, and so leaves them all to choose from.
    return Wish(
        voice=f"voices/{voice}" if voice else "",
        model=f"models/{request.model}" if request.model else "",
    )


def _convert_recording(first: bytes) -> Wish:
    return _selected(conversion_pb2.ConvertRecordingRequest.FromString(first).voice)


def _convert_voice(first: bytes) -> Wish:
    return _selected(conversion_pb2.ConvertVoiceRequest.FromString(first).config.voice)


_WISHES: dict[str, Callable[[bytes], Wish]] = {
    SPEECH + "Synthesize": _synthesize,
    SPEECH + "StreamingSynthesize": _streaming_synthesize,
    OPENAI + "CreateSpeech": _create_speech,
    CONVERSION + "ConvertRecording": _convert_recording,
    CONVERSION + "ConvertVoice": _convert_voice,
}


def is_worth_a_look(method: str) -> bool:
    """Whether the first message must be there before a backend is chosen."""
    return method in _WISHES


def can_survive(method: str) -> bool:
    """Whether a model server may tell how another could go on with its answer."""
    return method.startswith(SPEECH)


def wish_of(method: str, first: bytes | None) -> Wish:
    """The wish of a call; `first` is its first message where `is_worth_a_look`, if it has any."""
    if method in _WISHES and first is not None:
        try:
            return _WISHES[method](first)
        except DecodeError:  # the backend will say what is wrong with it
            return Wish()
    name = method.rpartition("/")[2]
    return Wish(takes_place=not name.startswith(READ_ONLY))
