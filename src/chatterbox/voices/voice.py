"""Voice: a named, stored source of conditioning."""

import re
from dataclasses import dataclass

from chatterbox.errors import InvalidRequest

# A resource id after AIP-122; also safe as a folder name on every file system.
VOICE_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What is known of a voice without loading it."""

    id: str
    display_name: str
    description: str
    language: str  # BCP 47
    gender: str  # "female", "male", "neutral", or "" where unknown
    families: tuple[str, ...]  # the model families it has conditioning for


def check_voice_id(voice_id: str, *, field: str = "voice") -> str:
    """The id itself; raises InvalidRequest naming `field` when it cannot be one."""
    if VOICE_ID.fullmatch(voice_id) is None:
        raise InvalidRequest(
            "a voice id is 1 to 63 lower-case letters, digits and hyphens and starts with a "
            f"letter, got {voice_id[:80]!r}",
            field=field,
            reason="INVALID_ID",
        )
    return voice_id
