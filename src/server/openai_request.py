"""A `CreateSpeech` as domain values; everything a client can get wrong in it is found here."""

import json
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value

from chatterbox.audio.encode import Encoding
from chatterbox.audio.output import OutputFormat
from chatterbox.audio.tempo import MAX_SPEED, MIN_SPEED
from chatterbox.errors import InvalidRequest
from chatterbox.speech import Sampling, SpeechConfig
from chatterbox.v1 import openai_service_pb2 as pb
from server import convert

MAX_INPUT_CHARACTERS = 4096  # OpenAI's own limit
FORMATS: Final = ("mp3", "opus", "aac", "flac", "wav", "pcm")
STREAM_FORMATS: Final = ("audio", "sse")

# OpenAI's names, which stand for the defaults: programs have them built in.
_MODELS: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
OPENAI_VOICES: Final = frozenset(
    [
        "alloy",
        "ash",
        "ballad",
        "cedar",
        "coral",
        "echo",
        "fable",
        "marin",
        "nova",
        "onyx",
        "sage",
        "shimmer",
        "verse",
    ]
)
# Where the domain calls a field otherwise.
_FIELDS: Final = {"text": "input", "input.text": "input", "options.seed": "seed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOrder:
    """What a `CreateSpeech` asks for. `voice` in the config may be a name of OpenAI's."""

    config: SpeechConfig
    text: str
    form: OutputFormat
    is_sse: bool


def speech_order(request: pb.CreateSpeechRequest) -> SpeechOrder:
    """The order in a request; raises InvalidRequest with OpenAI's name of the field."""
    text = request.input
    if not text:
        raise InvalidRequest("input is missing", field="input", reason="REQUIRED")
    if len(text) > MAX_INPUT_CHARACTERS:
        raise InvalidRequest(
            f"input has {len(text)} characters, at most {MAX_INPUT_CHARACTERS} are spoken",
            field="input",
            reason="TEXT_TOO_LONG",
        )
    seed = request.seed if request.HasField("seed") else None
    return SpeechOrder(
        config=SpeechConfig(
            voice=_voice(request.voice),
            model=_model(request.model),
            language=convert.language(request.language),
            sampling=Sampling(seed=seed),
        ),
        text=text,
        form=OutputFormat(
            encoding=Encoding(_choice(request.response_format, FORMATS, field="response_format")),
            speaking_rate=_speed(request),
        ),
        is_sse=_choice(request.stream_format, STREAM_FORMATS, field="stream_format") == "sse",
    )


def openai_field(field: str) -> str:
    """OpenAI's name of a domain field."""
    return _FIELDS.get(field, field)


def _model(name: str) -> str | None:
    is_openai = name.startswith(_MODELS[-1]) or name in _MODELS  # the last comes with dates, too
    return None if not name or is_openai else convert.plain_id(name, "models", field="model")


def _voice(value: Value) -> str | None:
    match MessageToDict(value) if value.WhichOneof("kind") else None:
        case None | "":
            return None
        case str(name):
            return convert.plain_id(name, "voices", field="voice")
        case {"id": str(name)}:
            return convert.plain_id(name, "voices", field="voice")
        case other:
            raise InvalidRequest(
                f'a voice is an id or {{"id": id}}, got {_shown(other)}',
                field="voice",
                reason="INVALID_VOICE",
            )


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]


def _choice(name: str, known: tuple[str, ...], *, field: str) -> str:
    if name and name not in known:
        raise InvalidRequest(
            f"{field} is one of {', '.join(known)}, got {name[:80]!r}",
            field=field,
            reason="OUT_OF_RANGE",
        )
    return name or known[0]


def _speed(request: pb.CreateSpeechRequest) -> float:
    speed = request.speed if request.HasField("speed") else 1.0
    if not MIN_SPEED <= speed <= MAX_SPEED:  # nor is NaN
        raise InvalidRequest(
            f"speed must lie in [{MIN_SPEED:g}, {MAX_SPEED:g}], got {speed:g}",
            field="speed",
            reason="OUT_OF_RANGE",
        )
    return speed
