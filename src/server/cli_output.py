"""Where `chatterbox say` puts the sound: a file, or a pipe as it comes."""

import os
import struct
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import synthesis_pb2 as pb

HEADER_BYTES = 44

FORMATS: Final = {
    "wav": pb.AUDIO_ENCODING_LINEAR16,
    "pcm": pb.AUDIO_ENCODING_PCM,
    "flac": pb.AUDIO_ENCODING_FLAC,
    "opus": pb.AUDIO_ENCODING_OGG_OPUS,
    "mp3": pb.AUDIO_ENCODING_MP3,
    "mulaw": pb.AUDIO_ENCODING_MULAW,
    "alaw": pb.AUDIO_ENCODING_ALAW,
}
"""By the name on the command line."""

_SUFFIXES: Final = {
    ".wav": "wav",
    ".pcm": "pcm",
    ".raw": "pcm",
    ".flac": "flac",
    ".opus": "opus",
    ".ogg": "opus",
    ".mp3": "mp3",
    ".ul": "mulaw",
    ".al": "alaw",
}
_NOT_WRITTEN: Final = {".m4a", ".aac", ".mp4", ".wma", ".webm", ".aiff", ".aif"}


def format_of(place: str, wanted: str | None) -> str:
    """The format asked for, or else that of the file's name; raises InvalidRequest."""
    if wanted is not None:
        if wanted not in FORMATS:
            raise InvalidRequest(f"a format is one of {', '.join(FORMATS)}, got {wanted[:40]!r}")
        return wanted
    suffix = Path(place).suffix.lower()
    if suffix in _NOT_WRITTEN:
        raise InvalidRequest(f"{suffix} is not written; {', '.join(FORMATS)} are")
    return _SUFFIXES.get(suffix, "wav")


class SoundOutput:
    """Sound as it streams from the server; a WAV gets its sizes where one can go back.

    Made early, to refuse a wrong place before anything is spoken (InvalidRequest); entered when
    there is something to write. A file that could not be completed is removed.
    """

    def __init__(self, place: str, *, is_wav: bool) -> None:
        self._path = None if place == "-" else Path(place)
        self._is_wav = is_wav
        self._bytes = 0
        if self._path is None:
            if sys.stdout.isatty():
                raise InvalidRequest("sound is not for a terminal; use -o FILE or a pipe")
            self._is_regular = False
            return
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
        if error is None and self._is_regular and self._is_wav and self._bytes >= HEADER_BYTES:
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
