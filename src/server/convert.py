"""Protobuf to domain values and back; the only file that sees both.

Everything a client can get wrong about one message is found here. Errors name fields as the
domain does (`voice`, `options.top_p`); `wire_field` says how the client wrote them.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from google.protobuf.duration_pb2 import Duration

from chatterbox.audio.output import OutputFormat
from chatterbox.errors import InvalidRequest
from chatterbox.speech import (
    Flush,
    Interrupt,
    Pronunciation,
    Sampling,
    SpeechConfig,
    SpeechInput,
    TextFragment,
)
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.voices.voice import check_consent
from server.convert_audio import output_format

MAX_FLUSH_ID_CHARACTERS = 64
MAX_REFERENCE_BYTES = 10 * 1024 * 1024
MAX_DURATION_S = 315_576_000_000  # of google.protobuf.Duration: 10,000 years

_RESOURCE_ID: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
OPTIONS: Final = (
    "seed",
    "temperature",
    "exaggeration",
    "cfg_weight",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
)
_WIRE_FIELDS: Final = {
    "voice": "voice.name",
    "model": "voice.model",
    "language": "voice.language_code",
    "text": "input.text",
    "reference_audio": "voice.reference_audio.content",
}
_SETTINGS: Final = ("voice", "audio_config", "options", "max_buffer_delay", "pronunciations")


def speech_request(
    request: pb.SynthesizeRequest,
) -> tuple[SpeechConfig, str, OutputFormat]:
    """The settings, the text and the form of a `Synthesize`; raises InvalidRequest."""
    form = output_format(request.audio_config)
    if request.input.WhichOneof("input_source") is None:
        raise InvalidRequest("input.text is missing", field="text", reason="REQUIRED")
    voice, model, language = selection(request.voice)
    config = SpeechConfig(
        voice=voice,
        model=model,
        language=language,
        sampling=sampling(request.options),
        reference_audio=reference_audio(request.voice),
        pronunciations=pronunciations(request.pronunciations),
        word_timings=request.enable_word_timings,
    )
    return config, request.input.text, form


def live_config(
    request: pb.StreamingSynthesizeRequest,
) -> tuple[SpeechConfig, OutputFormat]:
    """The settings and the form in a session's first message; raises InvalidRequest."""
    if request.WhichOneof("streaming_request") != "streaming_config":
        raise InvalidRequest(
            "the first message must hold streaming_config",
            field="streaming_config",
            reason="CONFIG_MISSING",
        )
    wire = request.streaming_config
    form = output_format(wire.audio_config)
    voice, model, language = selection(wire.voice)
    config = SpeechConfig(
        voice=voice,
        model=model,
        language=language,
        sampling=sampling(wire.options),
        reference_audio=reference_audio(wire.voice),
        pronunciations=pronunciations(wire.pronunciations),
        word_timings=wire.enable_word_timings,
    )
    if wire.HasField("max_buffer_delay"):
        delay_s = _seconds(wire.max_buffer_delay, field="max_buffer_delay")
        config = replace(config, max_buffer_delay_s=delay_s)
    return config, form


def speech_input(request: pb.StreamingSynthesizeRequest) -> SpeechInput:
    """What a later message of a session asks for; raises InvalidRequest."""
    match request.WhichOneof("streaming_request"):
        case "input":
            if request.input.WhichOneof("input_source") is None:
                raise InvalidRequest("input.text is missing", field="text", reason="REQUIRED")
            return TextFragment(request.input.text)
        case "flush":
            flush_id = request.flush.flush_id
            if len(flush_id) > MAX_FLUSH_ID_CHARACTERS:
                raise InvalidRequest(
                    f"flush_id has {len(flush_id)} characters, at most "
                    f"{MAX_FLUSH_ID_CHARACTERS} are kept",
                    field="flush.flush_id",
                    reason="OUT_OF_RANGE",
                )
            return Flush(flush_id)
        case "interrupt":
            if not request.interrupt.HasField("playback_offset"):
                return Interrupt()
            field = "interrupt.playback_offset"
            offset_s = _seconds(request.interrupt.playback_offset, field=field)
            if offset_s < 0:
                raise InvalidRequest(
                    f"playback_offset must be at least 0 s, got {offset_s:g}",
                    field=field,
                    reason="OUT_OF_RANGE",
                )
            return Interrupt(offset_s)
        case "streaming_config":
            raise InvalidRequest(
                "streaming_config may only be in the first message",
                field="streaming_config",
                reason="CONFIG_REPEATED",
            )
        case _:
            raise InvalidRequest(
                "the message holds none of input, flush and interrupt",
                field="streaming_request",
                reason="REQUIRED",
            )


def pronunciations(
    wire: Iterable[pb.CustomPronunciation],
) -> tuple[Pronunciation, ...]:
    """How words are to be said; raises InvalidRequest."""
    return tuple(Pronunciation(each.phrase, each.spoken_as) for each in wire)


def sampling(options: pb.SynthesisOptions) -> Sampling:
    """The options that are set; raises InvalidRequest for one out of range."""
    return Sampling(**{name: getattr(options, name) for name in OPTIONS if options.HasField(name)})


def resource_id(name: str, *, collection: str, field: str) -> str:
    """The id in `collection/id`; raises InvalidRequest naming `field` for anything else."""
    prefix, _, resource = name.partition("/")
    if prefix != collection or _RESOURCE_ID.fullmatch(resource) is None:
        raise InvalidRequest(
            f"a resource name looks like {collection}/some-id, got {name[:80]!r}",
            field=field,
            reason="INVALID_NAME",
        )
    return resource


def plain_id(name: str, collection: str, *, field: str) -> str:
    """The id in `id` or `collection/id`; raises InvalidRequest naming `field`."""
    full = name if name.startswith(f"{collection}/") else f"{collection}/{name}"
    return resource_id(full, collection=collection, field=field)


def language(code: str) -> str | None:
    """The language code, None where unset; raises InvalidRequest."""
    if code and _LANGUAGE.fullmatch(code) is None:
        raise InvalidRequest(
            f"a language code looks like en or pt-BR, got {code[:80]!r}",
            field="language",
            reason="INVALID_LANGUAGE",
        )
    return code or None


def wire_field(field: str, *, is_live: bool) -> str:
    """The path of a domain field in the message of the client."""
    path = _WIRE_FIELDS.get(field, field)
    is_setting = path.partition(".")[0] in _SETTINGS
    return f"streaming_config.{path}" if is_live and is_setting else path


def selection(voice: pb.VoiceSelection) -> tuple[str | None, str | None, str | None]:
    """Ids of voice and model, and the language; None where unset."""
    voice_id = resource_id(voice.name, collection="voices", field="voice") if voice.name else None
    model_id = resource_id(voice.model, collection="models", field="model") if voice.model else None
    return voice_id, model_id, language(voice.language_code)


def reference_audio(voice: pb.VoiceSelection) -> bytes | None:
    """The recording to speak like, if one was sent; raises InvalidRequest."""
    if not voice.HasField("reference_audio"):
        return None
    if voice.name:
        raise InvalidRequest(
            "a voice is named, or comes as a recording: not both",
            field="voice.reference_audio",
            reason="CONFLICT",
        )
    check_consent(voice.reference_audio.consent, field="voice.reference_audio.consent")
    content = voice.reference_audio.content
    if len(content) > MAX_REFERENCE_BYTES:
        raise InvalidRequest(
            f"the recording has more than {MAX_REFERENCE_BYTES} bytes",
            field="reference_audio",
            reason="TOO_LARGE",
        )
    return content


def _seconds(duration: Duration, *, field: str) -> float:
    if abs(duration.seconds) > MAX_DURATION_S or abs(duration.nanos) > 999_999_999:
        raise InvalidRequest(f"{field} is not a duration", field=field, reason="OUT_OF_RANGE")
    return duration.seconds + duration.nanos / 1e9
