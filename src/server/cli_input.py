"""Standard input, read as it arrives without keeping anybody waiting."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator

_MAX_PIECES = 16


async def standard_input(read_bytes: int) -> AsyncGenerator[bytes, None]:
    """Its bytes, at most `read_bytes` at a time, until it ends."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_MAX_PIECES)
    loop = asyncio.get_running_loop()

    def read() -> None:
        # A thread of its own, not of the pool: the process may end while it waits for a key.
        piece = b"not yet the end"
        while piece:
            room.acquire()
            piece = os.read(sys.stdin.fileno(), read_bytes)
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:  # the loop has ended
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while piece := await pieces.get():
        room.release()
        yield piece
