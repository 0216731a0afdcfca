"""Discovery: where the backends are, now and whenever that changes."""

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from pathlib import Path

import structlog

from chatterbox.errors import ConfigError

FILE = "file:"
DNS = "dns:"
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}|unix:\S+")
MAX_BACKENDS = 1_000
MAX_FILE_BYTES = 256 * 1024
RESOLVE_S = 5.0

Addresses = frozenset[str]

log = structlog.get_logger(__name__)


async def discover(source: str, *, every_s: float) -> AsyncGenerator[Addresses, None]:
    """The addresses that `source` names, and again whenever it names others.

    `source` is "host:port,host:port", which never changes, "file:PATH" with one address a line, or
    "dns:NAME:PORT". Both are looked at every so often; one that cannot be read leaves things as
    they are. Raises ConfigError for what is no source, and for a file that is wrong to begin with.
    """
    if not source.startswith((FILE, DNS)):
        yield listed(source)
        return
    look = _file_look(source) if source.startswith(FILE) else _dns_look(source)
    known: Addresses | None = None
    problem = ""
    while True:
        try:
            found = await look()
        except (ConfigError, OSError) as error:
            if known is None and source.startswith(FILE):
                raise ConfigError(f"--backends: {error}") from None
            if str(error) != problem:  # once, not every second
                log.warning("backends cannot be looked up", source=source, problem=str(error))
            problem = str(error)
        else:
            problem = ""
            if found != known:
                known = found
                yield found
        await asyncio.sleep(every_s)


def listed(text: str) -> Addresses:
    """The addresses of a list; raises ConfigError when it is empty or one is none."""
    addresses = _addresses(text.split(","))
    if not addresses:
        raise ConfigError("--backends names no address")
    return addresses


def _addresses(words: Iterable[str]) -> Addresses:
    found = {word.strip() for word in words} - {""}
    for address in found:
        if ADDRESS.fullmatch(address) is None:
            raise ConfigError(f"not an address, host:port: {address[:80]!r}")
    if len(found) > MAX_BACKENDS:
        raise ConfigError(f"more than {MAX_BACKENDS} backends")
    return frozenset(found)


def _file_look(source: str) -> Callable[[], Awaitable[Addresses]]:
    path = Path(source.removeprefix(FILE))

    def read() -> Addresses:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than any list of backends")
        return _addresses(line.partition("#")[0] for line in text.splitlines())

    async def look() -> Addresses:
        try:
            return await asyncio.to_thread(read)
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not text") from None

    return look


def _dns_look(source: str) -> Callable[[], Awaitable[Addresses]]:
    name, _, port = source.removeprefix(DNS).rpartition(":")
    if not name or not port.isdecimal():
        raise ConfigError(f"--backends: not dns:NAME:PORT: {source!r}")

    async def look() -> Addresses:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(
                name, int(port), family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        return frozenset(f"{address[0]!s}:{port}" for *_, address in found)

    return look
