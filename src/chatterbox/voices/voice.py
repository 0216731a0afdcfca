"""Voice: a named, stored source of conditioning."""

import re
from dataclasses import dataclass, replace

from chatterbox.errors import InvalidRequest
from chatterbox.voices.quality import Quality
from chatterbox.voices.rules import shortest_reference_s

# A resource id after AIP-122; also safe as a folder name on every file system.
VOICE_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
MAX_NAME_CHARACTERS = 100
MAX_DESCRIPTION_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is known of the recording that a voice is made from."""

    fingerprint: str  # the same for two recordings if they are the same, and only then
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What is known of a voice without loading it. Times are seconds since 1970."""

    id: str
    display_name: str
    description: str = ""
    language: str = "en"  # BCP 47
    gender: str = ""  # "female", "male", "neutral", or "" where unknown
    families: tuple[str, ...] = ()  # the model families it has conditioning for
    reference: Reference | None = None  # any family derives its conditioning from it
    is_read_only: bool = False
    created_s: float | None = None
    updated_s: float | None = None
    consent_s: float | None = None  # when the speaker's consent was declared

    def suits(self, family: str) -> bool:
        """Whether a model family can speak with it."""
        if family in self.families:
            return True
        if self.reference is None:
            return False
        return self.reference.quality.duration_s > shortest_reference_s(family)

    def made_from(self, reference: Reference) -> "Voice":
        """The same voice, made from a recording."""
        return replace(self, reference=reference)


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


def check_consent(is_given: bool, *, field: str) -> None:  # noqa: FBT001  # what a caller said
    """Raise InvalidRequest where the speaker's consent was not declared."""
    if not is_given:
        raise InvalidRequest(
            f"{field} must be true: declare that the person who speaks consents to a copy of their "
            "voice",
            field=field,
            reason="CONSENT_REQUIRED",
        )
