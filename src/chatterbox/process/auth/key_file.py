"""The file of API keys: read whole, written whole, never seen half written."""

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatterbox.errors import ConfigError
from chatterbox.process.auth.keys import ApiKey

MAX_KEYS = 10_000
MAX_BYTES = 8 * 1024 * 1024  # of MAX_KEYS with the longest names there may be
MODE = 0o600


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: Annotated[list[ApiKey], Field(max_length=MAX_KEYS)] = []


def read_keys(path: Path) -> dict[str, ApiKey]:
    """The keys of a file by id, in the order in which they were made. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key file {path}; `chatterbox keys create NAME --file {path}` makes one"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"the key file {path} is larger than {MAX_BYTES} bytes")
    try:
        keys = _Content.model_validate_json(data).keys
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"the key file {path} is wrong: {where} {problem['msg']}") from None
    return {key.id: key for key in keys}


@contextmanager
def changing_keys(path: Path) -> Iterator[dict[str, ApiKey]]:
    """The keys of a file, which gets what is in them at the end. Nobody else changes it meanwhile.

    A file that is not there is empty. Raises ConfigError; then, and when the context raises, the
    file stays as it was.
    """
    try:
        with _locked(path):
            keys = read_keys(path) if path.exists() else {}
            before = dict(keys)
            yield keys
            if len(keys) > MAX_KEYS:
                raise ConfigError(f"a key file holds at most {MAX_KEYS} keys")
            if keys != before:
                _write(path, keys.values())
    except OSError as error:
        raise ConfigError(f"cannot write the key file {path}: {error.strerror}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Not the file itself, which is replaced."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    content = _Content(keys=list(keys)).model_dump_json(indent=1, exclude_none=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
