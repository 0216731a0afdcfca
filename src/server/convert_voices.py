"""Voices in protobuf, and what is asked of them; checked here as `convert` checks speech."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import voice_pb2 as pb
from chatterbox.voices.quality import Quality
from chatterbox.voices.voice import MAX_DESCRIPTION_CHARACTERS, MAX_NAME_CHARACTERS, Voice
from server import convert

DEFAULT_LANGUAGE = "en"

_GENDERS: Final = {
    "male": pb.VOICE_GENDER_MALE,
    "female": pb.VOICE_GENDER_FEMALE,
    "neutral": pb.VOICE_GENDER_NEUTRAL,
}
_GENDER_NAMES: Final = {number: name for name, number in _GENDERS.items()}
_CHANGEABLE: Final = ("display_name", "description", "language_code", "gender")
_ALL: Final = "*"


def facts(voice: pb.Voice, *, names: Iterable[str] = _CHANGEABLE) -> dict[str, Any]:
    """What a client tells of a voice, as the fields of a `Voice`; raises InvalidRequest."""
    told: dict[str, Any] = {}
    for name in names:
        match name:
            case "display_name":
                told[name] = _text(voice.display_name, MAX_NAME_CHARACTERS, name)
            case "description":
                told[name] = _text(voice.description, MAX_DESCRIPTION_CHARACTERS, name)
            case "language_code":
                told["language"] = _language(voice.language_code)
            case "gender":
                told[name] = _gender(voice.gender)
            case _:
                raise InvalidRequest(
                    f"update_mask may name {', '.join(_CHANGEABLE)} and *, got {name[:80]!r}",
                    field="update_mask",
                    reason="INVALID_FIELD",
                )
    return told


def new_voice(voice_id: str, voice: pb.Voice, **fields: Any) -> Voice:
    """A voice of that id as a client describes it; raises InvalidRequest."""
    told = facts(voice)
    told["display_name"] = told["display_name"] or voice_id.replace("-", " ").title()
    return Voice(id=voice_id, **told, **fields)


def changes(voice: pb.Voice, mask: FieldMask) -> Mapping[str, Any]:
    """The changes of an update; without a mask, all that is set. Raises InvalidRequest."""
    names = list(mask.paths) or [name for name in _CHANGEABLE if getattr(voice, name)]
    told = facts(voice, names=_CHANGEABLE if _ALL in names else names)
    if "display_name" in told and not told["display_name"]:
        raise InvalidRequest(
            "display_name must not be empty", field="voice.display_name", reason="REQUIRED"
        )
    if not told:
        raise InvalidRequest(
            "nothing is to be changed: set a field, or name it in update_mask",
            field="update_mask",
            reason="REQUIRED",
        )
    return told


def voice_message(voice: Voice, *, families: Iterable[str]) -> pb.Voice:
    """A voice, with those of `families` that can speak with it."""
    return pb.Voice(
        name=f"voices/{voice.id}",
        display_name=voice.display_name,
        description=voice.description,
        language_code=voice.language,
        gender=_GENDERS.get(voice.gender, pb.VOICE_GENDER_UNSPECIFIED),
        models=[f"models/{family}" for family in families if voice.suits(family)],
        read_only=voice.is_read_only,
        create_time=_timestamp(voice.created_s),
        update_time=_timestamp(voice.updated_s),
        consent_time=_timestamp(voice.consent_s),
        quality=None if voice.reference is None else _quality(voice.reference.quality),
    )


def _quality(quality: Quality) -> pb.RecordingQuality:
    return pb.RecordingQuality(
        duration=_duration(quality.duration_s),
        speech_duration=_duration(quality.speech_s),
        speech_ratio=quality.speech_ratio,
        loudness_lufs=quality.loudness_lufs,
        peak_dbfs=quality.peak_dbfs,
        noise_floor_dbfs=quality.noise_floor_dbfs,
        signal_to_noise_db=quality.signal_to_noise_db,
        clipping_ratio=quality.clipping_ratio,
        advice=quality.advice,
    )


def _text(text: str, limit: int, name: str) -> str:
    stripped = text.strip()
    is_printable = all(each.isprintable() or each == "\n" for each in stripped)
    if len(stripped) > limit or not is_printable:
        raise InvalidRequest(
            f"{name} must be at most {limit} characters that can be shown",
            field=f"voice.{name}",
            reason="OUT_OF_RANGE",
        )
    return stripped


def _language(code: str) -> str:
    try:
        return convert.language(code) or DEFAULT_LANGUAGE
    except InvalidRequest as error:
        error.field = "voice.language_code"
        raise


def _gender(number: "pb.VoiceGender.ValueType") -> str:
    if number not in pb.VoiceGender.values():
        raise InvalidRequest(
            f"there is no gender {number}", field="voice.gender", reason="OUT_OF_RANGE"
        )
    return _GENDER_NAMES.get(number, "")


def _timestamp(time_s: float | None) -> Timestamp | None:
    if time_s is None:
        return None
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    return Timestamp(seconds=seconds, nanos=milliseconds * 1_000_000)


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
