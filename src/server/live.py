"""LiveInputs: what a client sends into a live session, checked, counted and waited for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from chatterbox.audio.output import OutputFormat
from chatterbox.errors import InvalidRequest, SessionIdle
from chatterbox.speech import SpeechConfig, SpeechInput
from chatterbox.v1 import synthesis_pb2 as pb
from server import convert

MAX_INPUTS = 200_000  # of one session; its text alone is bounded to half as many characters


class LiveInputs:
    """The messages of one session. Silence of `idle_timeout_s` on both sides ends it.

    Use it with `aclosing`: leaving cancels the read that may be pending.
    """

    def __init__(
        self, messages: AsyncIterator[pb.StreamingSynthesizeRequest], *, idle_timeout_s: float
    ) -> None:
        self.first = pb.StreamingSynthesizeRequest()  # the message that `config` has read
        self._messages = messages
        self._idle_timeout_s = idle_timeout_s
        self._active_s = time.monotonic()
        self._read: asyncio.Task[pb.StreamingSynthesizeRequest | None] | None = None

    def touch(self) -> None:
        """Say that something was sent to the client: the session is not idle."""
        self._active_s = time.monotonic()

    async def config(self) -> tuple[SpeechConfig, OutputFormat]:
        """The first message; raises InvalidRequest or SessionIdle."""
        self.first = await self._next() or pb.StreamingSynthesizeRequest()
        return convert.live_config(self.first)

    async def rest(self) -> AsyncGenerator[SpeechInput, None]:
        """Every later message, until the client says that no more will come."""
        count = 0
        while (message := await self._next()) is not None:
            count += 1
            if count > MAX_INPUTS:
                raise InvalidRequest(
                    f"a session takes at most {MAX_INPUTS} messages",
                    field="streaming_request",
                    reason="TOO_MANY_MESSAGES",
                )
            yield convert.speech_input(message)

    async def aclose(self) -> None:
        """Stop waiting for the client."""
        if self._read is not None:
            self._read.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._read

    async def _next(self) -> pb.StreamingSynthesizeRequest | None:
        # One read outlives every look at the clock: cancelling it could lose a message.
        if self._read is None:
            self._read = asyncio.create_task(_read(self._messages))
        while not self._read.done():
            patience_s = self._active_s + self._idle_timeout_s - time.monotonic()
            if patience_s <= 0:
                raise SessionIdle(f"nothing was sent or spoken for {self._idle_timeout_s:g} s")
            await asyncio.wait({self._read}, timeout=patience_s)
        message, self._read = self._read.result(), None
        self.touch()
        return message


async def _read(
    messages: AsyncIterator[pb.StreamingSynthesizeRequest],
) -> pb.StreamingSynthesizeRequest | None:
    return await anext(messages, None)
