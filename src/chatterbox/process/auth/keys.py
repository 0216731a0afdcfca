"""ApiKey: what is known of a key, which is everything but the key itself.

A key is `cb_`, eight characters that name it, `_`, and 256 random bits. Only a digest is kept. It is
a fast one, on purpose: bcrypt and its like make guessing slow where people choose what can be
guessed, and nobody guesses 256 bits; here they would only add 0.1 s of CPU to each call.
"""

import base64
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from chatterbox.process.auth.callers import NO_LIMITS, Caller, Limits, Role

PREFIX = "cb_"
ID_BYTES, SECRET_BYTES = 5, 32  # whole groups of base32 for the id
ID_PATTERN = r"[a-z2-7]{8}"
KEY = re.compile(rf"{PREFIX}({ID_PATTERN})_[a-z2-7]{{52}}")
PURPOSE = b"chatterbox key 1"  # so that the digest of a key is of use nowhere else
MAX_NAME_CHARACTERS = 80

Bound = Annotated[int, Field(ge=1, le=1_000_000_000)]


class ApiKey(BaseModel):
    """One key, as its file keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=rf"^{ID_PATTERN}$")]
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    role: Role = Role.USER
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    max_streams: Bound | None = None
    characters_per_minute: Bound | None = None

    @property
    def shown(self) -> str:
        """What may be shown of it."""
        return f"{PREFIX}{self.id}"

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires

    def fits(self, text: str) -> bool:
        """Whether `text` is this key. Takes the same time whatever it is."""
        return hmac.compare_digest(digest_of(text), self.digest)

    def caller(self, defaults: Limits) -> Caller:
        """Its holder. What the key does not limit, `defaults` do, but not for everybody at once."""
        if self.role is Role.BALANCER:
            defaults = NO_LIMITS
        return Caller(
            id=self.shown,
            role=self.role,
            limits=Limits(
                max_streams=self.max_streams or defaults.max_streams,
                characters_per_minute=self.characters_per_minute or defaults.characters_per_minute,
            ),
        )


def new_key_text() -> str:
    """A key that never was, to be shown once."""
    return f"{PREFIX}{_random(ID_BYTES)}_{_random(SECRET_BYTES)}"


def id_of(text: str) -> str | None:
    """The id in the text of a key; None if it is not one."""
    match = KEY.fullmatch(text)
    return match[1] if match else None


def digest_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.blake2b(text.encode(), digest_size=32, person=PURPOSE).hexdigest()


def _random(byte_count: int) -> str:
    return base64.b32encode(secrets.token_bytes(byte_count)).decode().rstrip("=").lower()
