"""Requests: what a client has sent so far, kept while it may have to be sent again."""

import asyncio
from collections.abc import Awaitable, Callable

from grpc.aio import EOF  # type: ignore[attr-defined]  # not in the stub

Read = Callable[[], Awaitable[object]]  # a message as bytes, or EOF


class Requests:
    """The messages of one call, in order.

    `pump` reads them from the client; one sender at a time asks for them by their number. The pump
    is never more than one message ahead of the sender, so a client is slowed down to the pace of
    its backend. Messages stay until they are more than `keep_bytes`; then those that have left
    go, and no other sender can begin any more.
    """

    def __init__(self, read: Read, *, keep_bytes: int) -> None:
        self._read = read
        self._keep_bytes = keep_bytes
        self._messages: list[bytes] = []  # from number `_dropped` on
        self._dropped = 0
        self._asked = 0  # the number up to which a sender has asked
        self._kept_bytes = 0
        self._is_complete = False
        self._news = asyncio.Event()  # a message has come, or the end
        self._demand = asyncio.Event()  # a sender wants what is not here yet

    @property
    def count(self) -> int:
        """How many messages the client has sent."""
        return self._dropped + len(self._messages)

    @property
    def can_be_repeated(self) -> bool:
        """Whether another sender could still begin at the first message."""
        return self._dropped == 0

    async def pump(self) -> None:
        """Read until the client has sent its last message."""
        while (message := await self._read()) is not EOF:
            assert isinstance(message, bytes)
            self._messages.append(message)
            self._kept_bytes += len(message)
            self._demand.clear()
            self._news.set()
            await self._demand.wait()
        self._is_complete = True
        self._news.set()

    async def get(self, number: int) -> bytes | None:
        """The message of this number, 0 first, when it is there; None after the last one."""
        assert number >= self._dropped, "what was dropped is not asked for again"
        while number >= self.count:
            if self._is_complete:
                return None
            self._news.clear()
            await self._news.wait()
        return self._messages[number - self._dropped]

    def sent(self, number: int) -> None:
        """The message of this number has left: the next may come."""
        self._asked = number + 1
        if self._kept_bytes > self._keep_bytes:
            self._drop()
        if self._asked >= self.count:
            self._demand.set()

    def _drop(self) -> None:
        """Let go of every message that has left."""
        gone = self._asked - self._dropped
        if gone <= 0:
            return
        self._kept_bytes -= sum(len(message) for message in self._messages[:gone])
        del self._messages[:gone]
        self._dropped += gone
