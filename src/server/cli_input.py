"""Standard input, read as it arrives without keeping anybody waiting."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import CancelledError

_MAX_PIECES = 16


async def standard_input(read_bytes: int) -> AsyncGenerator[bytes, None]:
    """Its bytes, at most `read_bytes` at a time, until it ends."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=_MAX_PIECES)
    loop = asyncio.get_running_loop()

    def read() -> None:
        # A thread of its own, not of the pool: the process may end while it waits for a key.
        while True:
            piece = os.read(sys.stdin.fileno(), read_bytes)
            try:
                asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result()
            except (RuntimeError, CancelledError):  # the loop has ended, or is about to
                return
            if not piece:
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while piece := await pieces.get():
        yield piece
