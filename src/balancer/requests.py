"""Requests: what a client has sent so far, kept while it may have to be sent again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from grpc.aio import EOF  # type: ignore[attr-defined]  # not in the stub

from chatterbox.process.resume import Footer

Read = Callable[[], Awaitable[object]]  # a message as bytes, or EOF


class Requests:
    """The messages of one call, in order.

    `pump` reads them from the client; one sender at a time asks for them by their number. The pump
    is never more than one message ahead of the sender, so a client is slowed down to the pace of
    its backend. Messages stay until they are no more needed (`acknowledge`), or more than
    `keep_bytes`; then those that have left go, and no other sender can begin any more. The first
    one stays, unless it is too much by itself.
    """

    def __init__(self, read: Read, *, keep_bytes: int) -> None:
        self._read = read
        self._keep_bytes = keep_bytes
        self._first: bytes | None = None
        self._messages: list[bytes] = []  # from number `_dropped` on
        self._dropped = 0
        self._acknowledged = 0
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

    @property
    def can_go_on(self) -> bool:
        """Whether another sender could begin at the first message that was not acknowledged.

        After the very first, which it needs as well.
        """
        return self._dropped <= self._acknowledged and self._first is not None

    async def pump(self) -> None:
        """Read until the client has sent its last message."""
        while (message := await self._read()) is not EOF:
            assert isinstance(message, bytes)
            if self.count == 0:
                self._first = message
            self._messages.append(message)
            self._kept_bytes += len(message)
            self._demand.clear()
            self._news.set()
            await self._demand.wait()
        self._is_complete = True
        self._news.set()

    async def outgoing(self, begun: Footer | None = None) -> AsyncGenerator[bytes, None]:
        """Every message for one sender, as they come.

        Where a stream goes on elsewhere, what was `begun` stands behind the first message, and
        those that were taken there are left out.
        """
        number = 0
        while (message := await self.get(number)) is not None:
            yield message if begun is None or number > 0 else message + begun.written
            self.sent(number)
            number += 1
            if begun is not None:
                number = max(number, begun.requests_taken)

    async def get(self, number: int) -> bytes | None:
        """The message of this number, 0 first, when it is there; None after the last one."""
        while number >= self.count:
            if self._is_complete:
                return None
            self._news.clear()
            await self._news.wait()
        if number == 0 and self._first is not None:
            return self._first
        assert number >= self._dropped, "what was dropped is not asked for again"
        return self._messages[number - self._dropped]

    def sent(self, number: int) -> None:
        """The message of this number has left: the next may come."""
        self._asked = max(self._asked, number + 1)
        if self._kept_bytes > self._keep_bytes:
            self._drop(self._asked)
        if self._asked >= self.count:
            self._demand.set()

    def acknowledge(self, count: int) -> None:
        """Nobody will need the first `count` messages again, but for the very first."""
        self._acknowledged = max(self._acknowledged, count)
        self._drop(min(count, self._asked))

    def _drop(self, end: int) -> None:
        """Let go of the messages before number `end`."""
        gone = end - self._dropped
        if gone <= 0:
            return
        if self._first is not None and len(self._first) > self._keep_bytes:
            self._first = None
        self._kept_bytes -= sum(len(message) for message in self._messages[:gone])
        del self._messages[:gone]
        self._dropped += gone
