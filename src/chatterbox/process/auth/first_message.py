"""FirstMessages: the message of calls that have but one, waited for as long as is fair.

gRPC itself waits for it before it calls a handler, for ever, and counts the call meanwhile.
"""

import asyncio
from typing import Any

from grpc.aio import EOF  # type: ignore[attr-defined]  # not in the stub

from chatterbox.errors import InvalidRequest

Context = Any  # grpc.aio's own, whose stub knows no calls of raw bytes


class FirstMessages:
    """Waits for `within_s`, and for no more than `at_most` calls at once.

    When there are more, the one that has waited longest is given up: a client that means its call
    sends the message with it, so whoever waits is not the one to be kept.
    """

    def __init__(self, *, within_s: float, at_most: int) -> None:
        self._within_s = within_s
        self._at_most = at_most
        self._waits: dict[asyncio.Timeout, None] = {}  # in the order in which they began

    async def of(self, context: Context) -> Any:
        """The message of a call. Raises InvalidRequest if it does not come."""
        try:
            async with asyncio.timeout(self._within_s) as wait:
                self._begin(wait)
                try:
                    message = await context.read()
                finally:
                    self._waits.pop(wait, None)
        except TimeoutError:
            raise InvalidRequest("the request did not come in time", reason="NO_MESSAGE") from None
        if message is EOF:
            raise InvalidRequest("the call ended before its request", reason="NO_MESSAGE")
        return message

    def _begin(self, wait: asyncio.Timeout) -> None:
        if len(self._waits) >= self._at_most:
            oldest = next(iter(self._waits))
            del self._waits[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        self._waits[wait] = None
