"""What the first message of a call tells about the backend it wants.

Only the synthesis methods are looked into, and only their first message; all else is opaque, so
that a method this balancer has never heard of works with no change here.
"""

from collections.abc import Callable

from google.protobuf.message import DecodeError

from balancer.policy import Wish
from chatterbox.v1 import synthesis_pb2 as pb

SERVICE = "/chatterbox.v1.TextToSpeechService/"
READ_ONLY = ("Get", "List", "ServerReflectionInfo")  # AIP-131, AIP-132: cheap, and never queued


def _synthesize(first: bytes) -> pb.VoiceSelection:
    return pb.SynthesizeRequest.FromString(first).voice


def _streaming_synthesize(first: bytes) -> pb.VoiceSelection:
    return pb.StreamingSynthesizeRequest.FromString(first).streaming_config.voice


_VOICE_OF: dict[str, Callable[[bytes], pb.VoiceSelection]] = {
    SERVICE + "Synthesize": _synthesize,
    SERVICE + "StreamingSynthesize": _streaming_synthesize,
}


def is_worth_a_look(method: str) -> bool:
    """Whether the first message must be there before a backend is chosen."""
    return method in _VOICE_OF


def wish_of(method: str, first: bytes | None) -> Wish:
    """The wish of a call; `first` is its first message where `is_worth_a_look`, if it has any."""
    if method in _VOICE_OF and first is not None:
        try:
            voice = _VOICE_OF[method](first)
        except DecodeError:  # the backend will say what is wrong with it
            return Wish()
        return Wish(voice=voice.name, model=voice.model)
    name = method.rpartition("/")[2]
    return Wish(takes_place=not name.startswith(READ_ONLY))
