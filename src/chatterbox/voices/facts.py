"""What `voice.json` says of a voice, and a voice as it is written there."""

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from chatterbox.errors import CheckpointError
from chatterbox.voices.quality import Quality
from chatterbox.voices.voice import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_NAME_CHARACTERS,
    Reference,
    Voice,
)

MAX_BYTES = 64 * 1024
_LIMITS = {
    "display_name": MAX_NAME_CHARACTERS,
    "description": MAX_DESCRIPTION_CHARACTERS,
    "language": 40,
    "gender": 40,
    "families": 1_000,
}
# What Python raises of JSON that is none, is too deep, or holds something else.
_WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, OSError)


def voice_json(voice: Voice) -> bytes:
    """The file's content. What it says of who may change the voice is left to where it lies."""
    facts: dict[str, Any] = {
        "id": voice.id,
        "display_name": voice.display_name,
        "description": voice.description,
        "language": voice.language,
        "gender": voice.gender,
        "families": list(voice.families),
    }
    times = {
        "created": voice.created_s,
        "updated": voice.updated_s,
        "consent": voice.consent_s,
    }
    facts |= {name: _written(time_s) for name, time_s in times.items() if time_s is not None}
    if voice.reference is not None:
        facts["reference"] = {
            "fingerprint": voice.reference.fingerprint,
            "quality": asdict(voice.reference.quality),
        }
    return json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n"


def read_voice(voice_id: str, content: bytes, *, is_read_only: bool) -> Voice:
    """The voice of that id; raises CheckpointError for what describes none."""
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has {len(content)} bytes")
        facts = json.loads(content)
        for name, limit in _LIMITS.items():
            if len(str(facts.get(name, ""))) > limit:
                raise ValueError(f"its {name} has more than {limit} characters")
        return Voice(
            id=voice_id,
            display_name=str(facts.get("display_name") or voice_id.title()),
            description=str(facts.get("description", "")),
            language=str(facts.get("language", "en")),
            gender=str(facts.get("gender", "")),
            families=tuple(str(family) for family in facts["families"]),
            reference=_reference(facts["reference"]) if "reference" in facts else None,
            is_read_only=is_read_only,
            created_s=_time_s(facts.get("created")),
            updated_s=_time_s(facts.get("updated")),
            consent_s=_time_s(facts.get("consent")),
        )
    except _WRONG as error:
        raise CheckpointError(
            f"the voice.json of {voice_id!r} does not describe a voice: {error!r}"
        ) from error


def _reference(facts: dict[str, Any]) -> Reference:
    measured = {name: float(value) for name, value in facts["quality"].items()}
    if not all(map(math.isfinite, measured.values())):
        raise ValueError("its quality holds what is no number")
    return Reference(fingerprint=str(facts["fingerprint"])[:64], quality=Quality(**measured))


def _written(time_s: float) -> str:
    return datetime.fromtimestamp(round(time_s, 3), UTC).isoformat(timespec="milliseconds")


def _time_s(written: str | None) -> float | None:
    return None if written is None else datetime.fromisoformat(written).timestamp()
