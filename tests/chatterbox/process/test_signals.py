"""Signals as an event; the second one is final."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from chatterbox.process.signals import SIGNALS, stop_requested


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    with stop_requested() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stop.wait()


async def test_signals_have_their_default_action_afterwards() -> None:
    with stop_requested():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_ends_the_process() -> None:
    code = """
import asyncio, os, signal
from chatterbox.process.signals import stop_requested
async def main():
    with stop_requested() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(30)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], check=False, timeout=20)
    assert done.returncode == -signal.SIGTERM
