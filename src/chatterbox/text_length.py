"""How much text a request carries, by which callers are metered.

Only the methods that speak are looked into; a message of any other is not parsed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.message import DecodeError

from chatterbox.v1 import openai_service_pb2, synthesis_pb2


def _synthesize(message: bytes) -> int:
    return len(synthesis_pb2.SynthesizeRequest.FromString(message).input.text)


def _streaming_synthesize(message: bytes) -> int:
    return len(synthesis_pb2.StreamingSynthesizeRequest.FromString(message).input.text)


def _create_speech(message: bytes) -> int:
    return len(openai_service_pb2.CreateSpeechRequest.FromString(message).input)


def _readable(characters: Callable[[bytes], int]) -> Callable[[bytes], int]:
    def count(message: bytes) -> int:
        try:
            return characters(message)
        except DecodeError:  # whoever serves the call will say what is wrong with it
            return 0

    return count


CHARACTERS: Final[Mapping[str, Callable[[bytes], int]]] = {
    "/chatterbox.v1.TextToSpeechService/Synthesize": _readable(_synthesize),
    "/chatterbox.v1.TextToSpeechService/StreamingSynthesize": _readable(_streaming_synthesize),
    "/chatterbox.v1.OpenAIService/CreateSpeech": _readable(_create_speech),
}
"""By method: the characters of text in one message of a request."""
