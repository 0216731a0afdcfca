"""Jwks: the public keys with which an issuer's tokens are checked."""

import asyncio
import http.client
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import structlog

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import is_loopback

ALGORITHMS = frozenset(["RS256", "ES256", "EdDSA"])  # none with a shared secret, and not `none`
REFRESH_S = 300.0
UNKNOWN_S = 10.0  # at least so long between two looks for a key that is not known
BELIEVED_S = 3_600.0  # beyond the last good answer; an issuer away for so long renews no token
FETCH_S = 5.0  # of silence
MAX_BYTES = 1024 * 1024
MAX_KEYS = 100

log = structlog.get_logger(__name__)

PublicKeys = dict[str, jwt.PyJWK]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where the operator said, and from nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Jwks:
    """A set of keys from a file or a URL, looked at again every few minutes and for a new key id."""

    def __init__(self, source: str) -> None:
        """Raises ConfigError for a URL that others could answer. Nothing is read yet."""
        url = urlsplit(source)
        self._is_url = url.scheme in ("http", "https")
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ConfigError(f"--jwks: {source} is not https: anybody on the way could answer it")
        self._source = source
        self._keys: PublicKeys = {}
        self._good_s = float("-inf")
        self._looked_s = float("-inf")
        self._looking = asyncio.Lock()

    async def load(self) -> None:
        """Look for the first time. Raises ConfigError for a file that is missing or wrong.

        An issuer that cannot be reached now may be later; until then its tokens are not valid.
        """
        try:
            await self._look()
        except ConfigError as error:
            if not self._is_url:
                raise
            log.error("no token can be checked yet", problem=error.message)

    async def follow(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._look_again(at_least_s=0)

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of this id, or the only one there is for a token that names none."""
        if self._known(key_id) is None:
            await self._look_again(at_least_s=UNKNOWN_S)
        return self._known(key_id)

    def _known(self, key_id: str | None) -> jwt.PyJWK | None:
        if time.monotonic() > self._good_s + BELIEVED_S:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    async def _look_again(self, *, at_least_s: float) -> None:
        """Unless somebody has done so within `at_least_s`. Tokens of our foes cost no more."""
        async with self._looking:
            if time.monotonic() < self._looked_s + at_least_s:
                return
            try:
                await self._look()
            except ConfigError as error:
                log.error("the keys of tokens stay as they were", problem=error.message)

    async def _look(self) -> None:
        self._looked_s = time.monotonic()
        self._keys = await asyncio.to_thread(_read, self._source, is_url=self._is_url)
        self._good_s = time.monotonic()


def _read(source: str, *, is_url: bool) -> PublicKeys:
    """The usable keys by id. Raises ConfigError."""
    try:
        data = _fetched(source) if is_url else _content(Path(source))
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"cannot read the keys of tokens from {source}: {error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source} is larger than {MAX_BYTES} bytes")
    try:
        found = jwt.PyJWKSet.from_json(data.decode()).keys
    except (ValueError, AttributeError, RecursionError, jwt.PyJWTError) as error:
        raise ConfigError(f"{source} is not a JSON Web Key Set: {error}") from None
    usable = {
        key.key_id or "": key
        for key in found[:MAX_KEYS]
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")
    }
    if not usable:
        raise ConfigError(f"{source} has no key of {', '.join(sorted(ALGORITHMS))}")
    return usable


def _fetched(url: str) -> bytes:
    with _OPENER.open(url, timeout=FETCH_S) as answer:
        data: bytes = answer.read(MAX_BYTES + 1)
        return data


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
