"""Authenticator: who holds the credentials of a call."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chatterbox.errors import Unauthenticated
from chatterbox.process.auth.callers import Caller
from chatterbox.process.auth.key_ring import KeyRing
from chatterbox.process.auth.keys import PREFIX

if TYPE_CHECKING:
    from chatterbox.process.auth.tokens import TokenVerifier

AUTHORIZATION_KEY, API_KEY_KEY = "authorization", "x-api-key"
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)

Metadata = Iterable[tuple[str, Any]]


class Authenticator:
    """Takes keys, tokens, or both."""

    def __init__(
        self, *, keys: KeyRing | None = None, tokens: "TokenVerifier | None" = None
    ) -> None:
        self._keys = keys
        self._tokens = tokens

    async def caller_of(self, metadata: Metadata) -> Caller:
        """Who made the call with this metadata. Raises Unauthenticated."""
        text = credentials_in(metadata)
        if text.startswith(PREFIX):
            if self._keys is not None:
                return self._keys.caller_of(text, datetime.now(UTC))
        elif self._tokens is not None:
            return await self._tokens.caller_of(text)
        kinds = " or ".join(
            kind for kind, there in (("API key", self._keys), ("token", self._tokens)) if there
        )
        raise Unauthenticated(f"this is no {kinds} of this service", reason="INVALID_CREDENTIALS")


def credentials_in(metadata: Metadata) -> str:
    """The key or token that a call carries. Raises Unauthenticated when there is not exactly one."""
    found = [(key, value) for key, value in metadata if key in (AUTHORIZATION_KEY, API_KEY_KEY)]
    for wanted in (AUTHORIZATION_KEY, API_KEY_KEY):  # clients that send both mean the first
        values = [value for key, value in found if key == wanted]
        if len(values) > 1:
            raise Unauthenticated(f"there is more than one {wanted}", reason="INVALID_CREDENTIALS")
        if values:
            return _bearer(values[0]) if wanted == AUTHORIZATION_KEY else str(values[0]).strip()
    raise Unauthenticated(
        "this needs an API key: `authorization: Bearer KEY`, or `x-api-key: KEY`",
        reason="NO_CREDENTIALS",
    )


def _bearer(value: str) -> str:
    match = _BEARER.fullmatch(value.strip())
    if match is None:
        raise Unauthenticated("authorization is not `Bearer KEY`", reason="INVALID_CREDENTIALS")
    return match[1]
