"""Decoding audio that somebody sent: any common file to a clip, in a process of its own.

Decoders are large, written in C and fed by strangers. A file that crashes one, hangs it or inflates
a hundredfold ends a short-lived process with little memory, and is refused like any other bad file.
"""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from typing import Any

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.errors import InvalidRequest, Overloaded

TIMEOUT_S = 30.0  # of wall time; half a minute of sound takes a fraction of a second
MAX_DECODING = 2  # files at once
MAX_WAITING = 8  # more are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A file that was read. One that was damaged ends before the damage."""

    clip: Clip
    container: str  # as FFmpeg calls it: wav, mp3, flac, ogg, mov, matroska, aac
    codec: str
    is_damaged: bool


class Decoder:
    """Decodes files, a few at a time. Belongs to one event loop."""

    def __init__(self, *, max_decoding: int = MAX_DECODING, max_waiting: int = MAX_WAITING) -> None:
        self._places = asyncio.Semaphore(max_decoding)
        self._most = max_decoding + max_waiting
        self._count = 0

    async def decode(self, data: bytes, *, max_seconds: float, field: str = "audio") -> Decoded:
        """The first `max_seconds` of a file, its channels mixed to one, at its own rate.

        Raises InvalidRequest naming `field` for what is no audio file, and Overloaded when too many
        are being decoded.
        """
        if self._count >= self._most:
            raise Overloaded(f"{self._count} recordings are being read already")
        self._count += 1
        try:
            async with self._places:
                output = await _run(data, max_seconds)
        finally:
            self._count -= 1
        return _decoded(output, field)


async def _run(data: bytes, max_seconds: float) -> bytes:
    """What the child wrote; nothing if it crashed, was killed by a limit or took too long."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-B", "-m", "chatterbox.audio.decode_child", str(max_seconds)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=child_environment(),
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate(data)
    except TimeoutError:
        return b""
    finally:
        await _end(process)
    return output if process.returncode == 0 else b""


async def _end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def child_environment() -> dict[str, str]:
    """Enough to start Python, and no secret that this process was given."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _decoded(output: bytes, field: str) -> Decoded:
    line, _, samples = output.partition(b"\n")
    told: dict[str, Any] = {"problem": "it breaks the decoder or its limits"}
    if line:
        told = json.loads(line)
    if "problem" in told:
        raise InvalidRequest(
            f"the audio cannot be read: {told['problem']}", field=field, reason="AUDIO_UNREADABLE"
        )
    clip = Clip(np.frombuffer(samples, "<f4").astype(np.float32), told["sample_rate_hz"])
    return Decoded(
        clip=clip,
        container=told["container"],
        codec=told["codec"],
        is_damaged=told["is_damaged"],
    )
