"""Admission: how many calls may speak at once, and whether any may still begin."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from chatterbox.errors import EngineStopped, Overloaded

RETRY_AFTER_S = 1.0  # the order of one utterance


class Admission:
    """Counts the speaking calls of a server. Belongs to one event loop."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._active = 0
        self._draining = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def active(self) -> int:
        """Calls inside now."""
        return self._active

    @property
    def max_streams(self) -> int:
        """How many calls may be inside at once."""
        return self._max_streams

    @property
    def is_draining(self) -> bool:
        """Whether nobody is let in any more."""
        return self._draining

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one call. Raises Overloaded when all are taken, EngineStopped at the end."""
        if self._draining:
            raise EngineStopped("the server is stopping")
        if self._active >= self._max_streams:
            raise Overloaded(
                f"all {self._max_streams} streams of this server are taken",
                retry_after_s=RETRY_AFTER_S,
            )
        self._active += 1
        self._emptied.clear()
        try:
            yield
        finally:
            self._active -= 1
            if self._active == 0:
                self._emptied.set()

    async def drain(self, *, timeout_s: float) -> bool:
        """Let nobody in any more and wait for those inside; False when that took too long."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True
