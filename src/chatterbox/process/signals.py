"""SIGTERM and SIGINT as one asyncio.Event."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requested() -> Iterator[asyncio.Event]:
    """An event that the first signal sets. A second one ends the process at once.

    Needs the running loop of the main thread.
    """
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def request() -> None:
        requested.set()
        _restore(loop)  # the operator insists: let the default action have the next one

    for number in SIGNALS:
        loop.add_signal_handler(number, request)
    try:
        yield requested
    finally:
        _restore(loop)


def _restore(loop: asyncio.AbstractEventLoop) -> None:
    for number in SIGNALS:
        loop.remove_signal_handler(number)
