"""The process in which foreign audio is decoded while it arrives, however long it is.

As `decode_child`: the file on standard input, a line of JSON and samples on standard output. It
ends with `DAMAGED` where the file could be read in part only.
"""

import json
import os
import resource
import sys
from typing import Any

from chatterbox.audio.decode_child import (
    CPU_S,
    Unreadable,
    damage,
    limit_resources,
    mono,
    opened,
    told,
)

DAMAGED = 3  # exit code
MAX_SAMPLES = 192_000 * 3600 * 24
_STDIN, _STDOUT = 0, 1
_WRITE_BYTES = 16 * 1024  # 0.2 s at 24 kHz
_PROBE_BYTES, _PROBE_US = "65536", "500000"  # looked at before the first sound is given


class _Arriving:
    """Standard input as it comes. Has no `seek`, which tells FFmpeg not to try."""

    def read(self, most: int) -> bytes:
        """What is there, without waiting for `most` bytes; nothing at the end."""
        return os.read(_STDIN, most)


def decode() -> int:
    """Write what the file is and its samples; the exit code. Raises Unreadable before the first."""
    with opened(_Arriving(), probesize=_PROBE_BYTES, analyzeduration=_PROBE_US) as (
        container,
        stream,
    ):
        output = _Output(_line(told(container, stream)))
        code = 0
        try:
            for piece in mono(container, stream, MAX_SAMPLES):
                output.add(piece)
        except damage() as error:
            if not output.holds_sound:
                raise Unreadable("its sound is damaged") from error
            code = DAMAGED
        if not output.holds_sound:
            raise Unreadable("it holds no sound")
        output.flush()
        return code


class _Output:
    """Sound on its way out, in pieces that are worth a write; nothing before there is sound."""

    def __init__(self, first_line: bytes) -> None:
        self.holds_sound = False
        self._held = bytearray(first_line)

    def add(self, piece: bytes) -> None:
        self.holds_sound = self.holds_sound or len(piece) > 0
        self._held += piece
        if len(self._held) >= _WRITE_BYTES:
            self.flush()
            _renew_cpu()

    def flush(self) -> None:
        _write(bytes(self._held))
        self._held.clear()


def _renew_cpu() -> None:
    """Allow as much time for the next piece as for a whole short file: what hangs still ends."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts).encode() + b"\n"


def _write(content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.write(_STDOUT, content[done:])


def main() -> int:
    """Decode standard input; a file that cannot be read is told, not failed on."""
    limit_resources(hard_cpu_s=resource.RLIM_INFINITY)
    try:
        return decode()
    except Unreadable as error:
        _write(_line({"problem": str(error)}))
        return 0


if __name__ == "__main__":
    sys.exit(main())
