"""Uploads: a file that comes in pieces, bounded in size, in number and in patience."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from google.api.httpbody_pb2 import HttpBody

from chatterbox.errors import InvalidRequest, Overloaded, SessionIdle

MAX_UPLOAD_BYTES = 32 * 1024 * 1024
MAX_UPLOADS = 8  # that a server holds at once
IDLE_S = 30.0  # without another piece

Message = TypeVar("Message")


class Uploads:
    """How many files may be coming in. Belongs to one event loop."""

    def __init__(self, most: int = MAX_UPLOADS) -> None:
        self._most = most
        self._count = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one; raises Overloaded when all are taken."""
        if self._count >= self._most:
            raise Overloaded(f"{self._most} files are being sent to this server already")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


class Upload(Generic[Message]):
    """The messages of one upload: `first` holds the fields, `data` all that was sent."""

    def __init__(self, first: Message, data: bytes) -> None:
        self.first = first
        self.data = data

    @classmethod
    async def receive(
        cls,
        messages: AsyncIterator[Message],
        piece: Callable[[Message], HttpBody],
        *,
        field: str,
    ) -> "Upload[Message]":
        """Read to the end; raises InvalidRequest naming `field`, or SessionIdle."""
        first: Message | None = None
        data = bytearray()
        while (message := await _next(messages)) is not None:
            first = message if first is None else first
            data += piece(message).data
            if len(data) > MAX_UPLOAD_BYTES:
                raise InvalidRequest(
                    f"the file has more than {MAX_UPLOAD_BYTES} bytes",
                    field=field,
                    reason="TOO_LARGE",
                )
        if first is None:
            raise InvalidRequest("nothing was sent", field=field, reason="REQUIRED")
        return cls(first, bytes(data))


async def _next(messages: AsyncIterator[Message]) -> Message | None:
    try:
        async with asyncio.timeout(IDLE_S):
            return await anext(messages, None)
    except TimeoutError:
        raise SessionIdle(f"nothing was sent for {IDLE_S:g} s") from None
