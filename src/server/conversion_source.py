"""The source of a conversion: bytes as a client sends them, to sound."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode_stream import Damage, decode_stream
from chatterbox.errors import SessionIdle
from chatterbox.v1 import conversion_pb2 as pb
from server.conversion_request import audio_piece

Source = AsyncGenerator[Clip | Damage, None]

_SLICE_BYTES = 64 * 1024
_FULL_SCALE = 32_768.0


class LiveSource:
    """The messages of one stream; a client that is waited for too long ends it."""

    def __init__(
        self, messages: AsyncIterator[pb.ConvertVoiceRequest], *, idle_timeout_s: float
    ) -> None:
        self._messages = messages
        self._idle_timeout_s = idle_timeout_s

    async def first(self) -> pb.ConvertVoiceRequest:
        """The first message, empty if there is none; raises SessionIdle."""
        return await self._next() or pb.ConvertVoiceRequest()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The sound in the others; raises InvalidRequest or SessionIdle."""
        while (message := await self._next()) is not None:
            yield audio_piece(message)

    async def _next(self) -> pb.ConvertVoiceRequest | None:
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                return await anext(self._messages, None)
        except TimeoutError:
            raise SessionIdle(f"nothing was sent for {self._idle_timeout_s:g} s") from None


async def sliced(content: bytes) -> AsyncGenerator[bytes, None]:
    """A recording that came as a whole, as if it came in pieces."""
    for start in range(0, len(content), _SLICE_BYTES):
        yield content[start : start + _SLICE_BYTES]


def source_of(pieces: AsyncGenerator[bytes, None], *, pcm_hz: int | None) -> Source:
    """The sound in `pieces` of a file, or of plain samples at `pcm_hz`."""
    return decode_stream(pieces) if pcm_hz is None else _plain(pieces, pcm_hz)


async def read_ahead(source: Source) -> Source:
    """The same source when its first sound was read; raises what that raises."""
    first = await anext(source, None)

    async def all_of_it() -> Source:
        if first is not None:
            yield first
        async for each in source:
            yield each

    return all_of_it()


async def _plain(pieces: AsyncGenerator[bytes, None], rate_hz: int) -> Source:
    rest = b""
    async for piece in pieces:
        whole = rest + piece
        count = len(whole) // 2
        rest = whole[2 * count :]
        if count:
            samples = np.frombuffer(whole, "<i2", count=count).astype(np.float32)
            yield Clip(samples / np.float32(_FULL_SCALE), rate_hz)
    if rest:
        yield Damage()
