"""Messages that can be read, and what comes of others.

What a deserializer raises gRPC takes for the server's own fault, and so would whoever watches it.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError

from chatterbox.errors import InvalidRequest

_UNREADABLE = object()


def forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer that leaves it to `readable` to refuse what is no message."""

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError:
            return _UNREADABLE

    return read


def readable(request: Any) -> Any:
    """The message itself. Raises InvalidRequest if there was none in the bytes."""
    if request is _UNREADABLE:
        raise InvalidRequest("the bytes are no message of this method", reason="UNREADABLE")
    return request


async def each_readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The same of each message of a stream."""
    async for request in requests:
        yield readable(request)
