"""KeyRing: the keys of a file as they are now."""

import asyncio
from datetime import datetime
from pathlib import Path

import structlog

from chatterbox.errors import ConfigError, Unauthenticated
from chatterbox.process.auth.callers import Caller, Limits
from chatterbox.process.auth.key_file import read_keys
from chatterbox.process.auth.keys import ApiKey, id_of

LOOK_S = 1.0  # between two looks at the file

log = structlog.get_logger(__name__)


class KeyRing:
    """Knows the keys of a file, and notices within a second that they are others.

    A file that goes missing or wrong changes nothing but the log: half an edit must not lock
    everybody out.
    """

    def __init__(self, path: Path, *, defaults: Limits) -> None:
        """Raises ConfigError when the file cannot be read."""
        self._path = path
        self._defaults = defaults
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    def __len__(self) -> int:
        return len(self._keys)

    def caller_of(self, text: str, now: datetime) -> Caller:
        """The holder of a key. Raises Unauthenticated if it is not valid."""
        key_id = id_of(text)
        key = self._keys.get(key_id) if key_id is not None else None
        # The id of a key is no secret: whether there is such a key may show in the time it takes.
        if key is None or not key.fits(text):
            raise Unauthenticated("this API key is not valid", reason="INVALID_API_KEY")
        if key.has_expired(now):
            raise Unauthenticated("this API key has expired", reason="EXPIRED_API_KEY")
        return key.caller(self._defaults)

    async def follow(self) -> None:
        """Keep up with the file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                continue
            self._stamp = stamp  # before it is read: what is written meanwhile is read again
            try:
                keys = await asyncio.to_thread(read_keys, self._path)
            except ConfigError as error:
                log.error("keys stay as they were", problem=error.message)
            else:
                self._take(keys)

    def _take(self, keys: dict[str, ApiKey]) -> None:
        new, gone = len(keys.keys() - self._keys.keys()), len(self._keys.keys() - keys.keys())
        self._keys = keys
        log.info("keys changed", keys=len(keys), new=new, gone=gone)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Something else whenever the file is another one; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
