"""FolderStore: voices as folders of one folder, which may lie on a disk or on a network.

    <root>/<id>/voice.json                       name, language, consent, quality, ...
    <root>/<id>/reference.safetensors            the recording it is made from, 24 kHz
    <root>/<id>/conditioning[.<family>].safetensors   what models hear, where it was made elsewhere
    <root>/.generation                           another content after every change
    <root>/.new-*, .gone-*                       being made, being removed

What others see is only ever renamed into place, after it has reached the disk.
"""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from platformdirs import user_data_path

from chatterbox.errors import AlreadyExists, ChatterboxError, NotFound, StorageFailed, StorageFull
from chatterbox.voices.store import VOICE_JSON
from chatterbox.voices.voice import VOICE_ID, check_voice_id

MAX_FILE_BYTES = 64 * 1024 * 1024
ABANDONED_S = 3_600.0  # after which what was left half made by a crash is removed
# A time stamp may be as coarse as this, so that a second change leaves it as it is.
_SURE_AFTER_S = 2.0
_GENERATION = ".generation"
_NEW, _GONE = ".new-", ".gone-"
_IS_THERE = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def user_voices() -> Path:
    """Where a user's own voices are kept, as the system has it."""
    return user_data_path("chatterbox", appauthor=False) / "voices"


class FolderStore:
    """A `VoiceStore` in a folder, which need not exist before the first voice is kept."""

    def __init__(self, root: Path, *, is_read_only: bool = False) -> None:
        self._root = root
        self._is_read_only = is_read_only

    @property
    def is_read_only(self) -> bool:
        return self._is_read_only

    def generation(self) -> Hashable | None:
        with self._told("looked at"):
            try:
                seen = self._root.stat()
            except FileNotFoundError:
                return "nothing"
            if time.time() - seen.st_mtime < _SURE_AFTER_S:
                return None
            written = b""
            with contextlib.suppress(FileNotFoundError):
                written = (self._root / _GENERATION).read_bytes()[:64]
            return seen.st_mtime_ns, seen.st_ino, written

    def stamps(self) -> Mapping[str, Hashable]:
        stamps = {}
        with self._told("listed"), contextlib.suppress(FileNotFoundError):
            for folder in sorted(os.scandir(self._root), key=lambda entry: entry.name):
                if VOICE_ID.fullmatch(folder.name):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        seen = (self._root / folder.name / VOICE_JSON).stat()
                        stamps[folder.name] = (seen.st_mtime_ns, seen.st_ino, seen.st_size)
        return stamps

    def read(self, voice_id: str, name: str) -> bytes:
        path = self._folder(voice_id) / name
        with self._told("read", voice_id), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise StorageFailed(f"{name} of the voice {voice_id!r} has {size} bytes")
            return file.read(MAX_FILE_BYTES)

    def names(self, voice_id: str) -> tuple[str, ...]:
        with self._told("read", voice_id):
            found = [entry.name for entry in os.scandir(self._folder(voice_id)) if entry.is_file()]
            return tuple(sorted(name for name in found if not name.startswith(".")))

    def create(self, voice_id: str, files: Mapping[str, bytes]) -> None:
        folder = self._folder(voice_id)
        new = self._root / f"{_NEW}{uuid4().hex}"
        with self._told("kept", voice_id):
            try:
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                new.mkdir()
                for name, content in files.items():
                    _write(new / name, content)
                _sync(new)
                _put(new, folder)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            _sync(self._root)
            self._publish()

    def replace(self, voice_id: str, name: str, content: bytes) -> None:
        folder = self._folder(voice_id)
        new = folder / f"{_NEW}{uuid4().hex}"
        with self._told("changed", voice_id):
            try:
                _write(new, content)
                new.replace(folder / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    new.unlink()
                raise
            _sync(folder)
            self._publish()

    def delete(self, voice_id: str) -> None:
        gone = self._root / f"{_GONE}{uuid4().hex}"
        with self._told("deleted", voice_id):
            self._folder(voice_id).rename(gone)
            _sync(self._root)
            self._publish()
        shutil.rmtree(gone, ignore_errors=True)  # what remains, `sweep` takes

    def sweep(self) -> None:
        """Remove what crashes have left half made or half removed."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._root):
                if entry.name.startswith((_NEW, _GONE)):
                    age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
                    if age_s > ABANDONED_S and entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)

    def _folder(self, voice_id: str) -> Path:
        return self._root / check_voice_id(voice_id)

    def _publish(self) -> None:
        """Let others see that something has changed; the folder's own time mostly tells as well."""
        with contextlib.suppress(OSError):
            new = self._root / f"{_NEW}{uuid4().hex}"
            _write(new, uuid4().hex.encode())
            new.replace(self._root / _GENERATION)

    @contextlib.contextmanager
    def _told(self, verb: str, voice_id: str | None = None) -> Iterator[None]:
        """Turn what the system says into what a caller can read."""
        try:
            yield
        except OSError as error:
            raise self._failure(error, verb, voice_id) from error

    def _failure(self, error: OSError, verb: str, voice_id: str | None) -> ChatterboxError:
        if voice_id is not None and isinstance(error, FileNotFoundError):
            return NotFound(f"there is no voice {voice_id!r}", resource=f"voices/{voice_id}")
        if error.errno in _IS_FULL:
            return StorageFull("there is no room for another voice on this installation")
        what = "the voices" if voice_id is None else f"the voice {voice_id!r}"
        return StorageFailed(f"{what} cannot be {verb}: {error.strerror}")


def _put(new: Path, folder: Path) -> None:
    """Give a folder its name, which fails where there is anything: of two at once, one wins."""
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno not in _IS_THERE:
            raise
        raise AlreadyExists(
            f"there is a voice {folder.name!r} already", resource=f"voices/{folder.name}"
        ) from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
