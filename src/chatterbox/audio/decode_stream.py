"""Decoding audio while it arrives: `decode` for files of any length, at constant memory.

Both pipes of the child are short, so whoever sends faster than the sound is wanted has to wait.
"""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import child_environment
from chatterbox.errors import InvalidRequest

_PIECE_BYTES = 64 * 1024
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Damage:
    """The file is damaged or incomplete here; nothing follows."""


async def decode_stream(
    pieces: AsyncIterator[bytes], *, field: str = "audio"
) -> AsyncGenerator[Clip | Damage, None]:
    """The sound of the file that comes in `pieces`, its channels mixed to one, at its own rate.

    Raises InvalidRequest naming `field` for what is no audio file, and what `pieces` raises once
    all that came before it was given. Closing the generator ends the child.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-B", "-m", "chatterbox.audio.decode_stream_child"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=child_environment(),
    )
    feeding = asyncio.create_task(_feed(process, pieces))
    try:
        assert process.stdout is not None
        told = await _told(process)
        if "problem" in told:
            _raise_error_of(feeding)  # which may be why the file is none
            raise InvalidRequest(
                f"the audio cannot be read: {told['problem']}",
                field=field,
                reason="AUDIO_UNREADABLE",
            )
        rest = b""
        while piece := await process.stdout.read(_PIECE_BYTES):
            whole = rest + piece
            used = len(whole) // _SAMPLE_BYTES * _SAMPLE_BYTES
            rest = whole[used:]
            if used:
                samples = np.frombuffer(whole, "<f4", count=used // _SAMPLE_BYTES)
                yield Clip(samples.astype(np.float32), told["sample_rate_hz"])
        _raise_error_of(feeding)
        if await process.wait() != 0:  # it found damage, or broke the decoder or its limits
            yield Damage()
    finally:
        feeding.cancel()
        await _end(process)
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await feeding


def _raise_error_of(feeding: "asyncio.Task[None]") -> None:
    if feeding.done():
        feeding.result()


async def _feed(process: Process, pieces: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    try:
        with contextlib.suppress(ConnectionError):  # it has read enough
            async for piece in pieces:
                process.stdin.write(piece)
                await process.stdin.drain()
    finally:
        process.stdin.close()


async def _told(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    told: dict[str, Any] = {"problem": "it breaks the decoder or its limits"}
    return json.loads(line) if line else told


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    assert process.stdout is not None
    await process.stdout.read()  # while it is full, nobody would notice the end
    await process.wait()
