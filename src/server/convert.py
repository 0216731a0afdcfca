"""Protobuf to domain values and back; the only file that sees both.

Everything a client can get wrong about one message is found here. Errors name fields as the
domain does (`voice`, `options.top_p`); `wire_field` says how the client wrote them.
"""

import re
from dataclasses import replace
from typing import Final

from google.protobuf.duration_pb2 import Duration

from chatterbox.audio.files import pcm16, wav_header
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.errors import InvalidRequest
from chatterbox.speech import (
    Audio,
    Flush,
    FlushDone,
    Interrupt,
    Interrupted,
    Sampling,
    SpeechConfig,
    SpeechEvent,
    SpeechInput,
    Started,
    Summary,
    TextFragment,
    Warned,
)
from chatterbox.v1 import model_pb2, voice_pb2
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.voices.voice import Voice

MAX_FLUSH_ID_CHARACTERS = 64
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
}
_GENDERS: Final = {
    "male": voice_pb2.VOICE_GENDER_MALE,
    "female": voice_pb2.VOICE_GENDER_FEMALE,
    "neutral": voice_pb2.VOICE_GENDER_NEUTRAL,
}


# From the client.


def speech_request(
    request: pb.SynthesizeRequest,
) -> tuple[SpeechConfig, str, pb.AudioEncoding.ValueType]:
    """The settings, the text and the encoding of a `Synthesize`; raises InvalidRequest."""
    encoding = audio_encoding(request.audio_config)
    if request.input.WhichOneof("input_source") is None:
        raise InvalidRequest("input.text is missing", field="text", reason="REQUIRED")
    voice, model, language = _selection(request.voice)
    config = SpeechConfig(
        voice=voice, model=model, language=language, sampling=sampling(request.options)
    )
    return config, request.input.text, encoding


def live_config(
    request: pb.StreamingSynthesizeRequest,
) -> tuple[SpeechConfig, pb.AudioEncoding.ValueType]:
    """The settings and the encoding in a session's first message; raises InvalidRequest."""
    if request.WhichOneof("streaming_request") != "streaming_config":
        raise InvalidRequest(
            "the first message must hold streaming_config",
            field="streaming_config",
            reason="CONFIG_MISSING",
        )
    wire = request.streaming_config
    encoding = audio_encoding(wire.audio_config)
    voice, model, language = _selection(wire.voice)
    config = SpeechConfig(
        voice=voice, model=model, language=language, sampling=sampling(wire.options)
    )
    if wire.HasField("max_buffer_delay"):
        delay_s = _seconds(wire.max_buffer_delay, field="max_buffer_delay")
        config = replace(config, max_buffer_delay_s=delay_s)
    return config, encoding


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


def audio_encoding(config: pb.AudioConfig) -> pb.AudioEncoding.ValueType:
    """The encoding asked for, never unspecified; raises InvalidRequest for one not served."""
    match config.audio_encoding:
        case pb.AUDIO_ENCODING_UNSPECIFIED | pb.AUDIO_ENCODING_PCM:
            return pb.AUDIO_ENCODING_PCM
        case pb.AUDIO_ENCODING_LINEAR16:
            return pb.AUDIO_ENCODING_LINEAR16
        case other:
            raise InvalidRequest(
                f"audio encoding {other} is not served; PCM and LINEAR16 are",
                field="audio_config.audio_encoding",
                reason="UNSUPPORTED_ENCODING",
            )


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
    is_setting = path.partition(".")[0] in ("voice", "audio_config", "options", "max_buffer_delay")
    return f"streaming_config.{path}" if is_live and is_setting else path


def _selection(voice: pb.VoiceSelection) -> tuple[str | None, str | None, str | None]:
    """Ids of voice and model, and the language; None where unset."""
    voice_id = resource_id(voice.name, collection="voices", field="voice") if voice.name else None
    model_id = resource_id(voice.model, collection="models", field="model") if voice.model else None
    return voice_id, model_id, language(voice.language_code)


def _seconds(duration: Duration, *, field: str) -> float:
    if abs(duration.seconds) > MAX_DURATION_S or abs(duration.nanos) > 999_999_999:
        raise InvalidRequest(f"{field} is not a duration", field=field, reason="OUT_OF_RANGE")
    return duration.seconds + duration.nanos / 1e9


# To the client.


class Responses:
    """One stream's events as responses. Stateful: offsets need the rate that `Started` tells."""

    def __init__(self, *, request_id: str, encoding: pb.AudioEncoding.ValueType) -> None:
        self._request_id = request_id
        self._encoding = encoding
        self._sample_rate_hz = 1

    def response(self, event: SpeechEvent) -> pb.StreamingSynthesizeResponse:
        """The response that tells of this event; `Started` comes first."""
        match event:
            case Started():
                self._sample_rate_hz = event.sample_rate_hz
                return pb.StreamingSynthesizeResponse(started=self._started(event))
            case Audio():
                return pb.StreamingSynthesizeResponse(audio=self._audio(event))
            case FlushDone():
                done = pb.FlushDone(
                    flush_id=event.flush_id, offset=self._offset(event.offset_samples)
                )
                return pb.StreamingSynthesizeResponse(flush_done=done)
            case Interrupted():
                interrupted = pb.SynthesisInterrupted(
                    offset=self._offset(event.offset_samples), dropped_text=event.dropped_text
                )
                return pb.StreamingSynthesizeResponse(interrupted=interrupted)
            case Warned():
                warning = pb.SynthesisWarning(code=event.code, message=event.message)
                return pb.StreamingSynthesizeResponse(warning=warning)
        return pb.StreamingSynthesizeResponse(summary=_summary(event))

    def _started(self, event: Started) -> pb.SynthesisStarted:
        return pb.SynthesisStarted(
            request_id=self._request_id,
            model=f"models/{event.model}",
            voice=f"voices/{event.voice}",
            audio_encoding=self._encoding,
            sample_rate_hertz=event.sample_rate_hz,
            seed=event.seed,
        )

    def _audio(self, event: Audio) -> pb.AudioChunk:
        content = pcm16(event.clip)
        if event.sequence == 0 and self._encoding == pb.AUDIO_ENCODING_LINEAR16:
            content = wav_header(self._sample_rate_hz) + content
        return pb.AudioChunk(
            audio_content=content,
            sequence=event.sequence,
            offset=self._offset(event.offset_samples),
            segment_index=event.segment,
        )

    def _offset(self, samples: int) -> Duration:
        seconds, rest = divmod(samples, self._sample_rate_hz)
        return Duration(seconds=seconds, nanos=round(rest * 1_000_000_000 / self._sample_rate_hz))


def voice_message(voice: Voice, *, families: list[str]) -> voice_pb2.Voice:
    """A voice, with those of `families` that can speak with it."""
    return voice_pb2.Voice(
        name=f"voices/{voice.id}",
        display_name=voice.display_name,
        description=voice.description,
        language_code=voice.language,
        gender=_GENDERS.get(voice.gender, voice_pb2.VOICE_GENDER_UNSPECIFIED),
        models=[f"models/{family}" for family in families if family in voice.families],
    )


def model_message(family: FamilyInfo) -> model_pb2.Model:
    """A model family."""
    defaults = {
        name: value
        for name in OPTIONS
        if (value := getattr(family.defaults, name)) is not None and name in family.parameters
    }
    return model_pb2.Model(
        name=f"models/{family.id}",
        display_name=family.display_name,
        description=family.description,
        language_codes=sorted(family.languages),
        sample_rate_hertz=family.sample_rate_hz,
        default_options=pb.SynthesisOptions(**defaults),
    )


def _summary(event: Summary) -> pb.SynthesisSummary:
    return pb.SynthesisSummary(
        audio_duration=_duration(event.audio_duration_s),
        character_count=event.character_count,
        segment_count=event.segment_count,
        time_to_first_audio=_duration(event.time_to_first_audio_s),
        synthesis_duration=_duration(event.synthesis_duration_s),
        compute_duration=_duration(event.compute_duration_s),
        real_time_factor=event.real_time_factor,
        underrun_count=event.underrun_count,
        underrun_duration=_duration(event.underrun_s),
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
