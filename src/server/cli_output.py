"""Where `chatterbox say` puts the sound: a WAV file, or a pipe as it comes."""

import os
import struct
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from chatterbox.errors import InvalidRequest

HEADER_BYTES = 44
OTHER_FORMATS = {".mp3", ".ogg", ".opus", ".flac", ".m4a", ".aac", ".raw", ".pcm"}


class WavOutput:
    """A WAV as it streams from the server, header first; sizes are filled in where one can seek.

    Made early, to refuse a wrong place before anything is spoken (InvalidRequest); entered when
    there is something to write. A file that could not be completed is removed.
    """

    def __init__(self, place: str) -> None:
        self._path = None if place == "-" else Path(place)
        self._bytes = 0
        if self._path is None:
            if sys.stdout.isatty():
                raise InvalidRequest("sound is not for a terminal; use -o FILE or a pipe")
            self._is_regular = False
            return
        if self._path.suffix.lower() in OTHER_FORMATS:
            raise InvalidRequest(f"only WAV is written, not {self._path.suffix}")
        if not self._path.absolute().parent.is_dir():
            raise InvalidRequest(f"cannot write {place}: there is no folder {self._path.parent}")
        # A device or a named pipe is written to, but neither sought in nor removed.
        self._is_regular = self._path.is_file() or not self._path.exists()

    def write(self, content: bytes) -> None:
        """Add what the server sent, at once."""
        self._file.write(content)
        self._file.flush()
        self._bytes += len(content)

    def __enter__(self) -> Self:
        try:
            self._file = sys.stdout.buffer if self._path is None else self._path.open("wb")
        except OSError as error:
            raise InvalidRequest(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        if error is None and self._is_regular and self._bytes >= HEADER_BYTES:
            self._fill_in_sizes()
        self._file.close()
        if error is not None and self._is_regular:
            self._path.unlink(missing_ok=True)

    def _fill_in_sizes(self) -> None:
        for position, size in ((4, self._bytes - 8), (40, self._bytes - HEADER_BYTES)):
            self._file.seek(position)
            self._file.write(struct.pack("<I", size))


def silence_stdout() -> None:
    """Let nothing more be written: whoever read the pipe has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
