"""Where backends are: lists, files that change, names."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from balancer.discovery import MAX_BACKENDS, discover, listed
from chatterbox.errors import ConfigError


def test_a_list_names_each_backend_once() -> None:
    assert listed("a:1, b:2,a:1,[::1]:3") == {"a:1", "b:2", "[::1]:3"}


@pytest.mark.parametrize("text", ["", ",", "a", "a:b", "http://a:1", "a:1 b:2", "a:123456"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        listed(text)


async def test_a_list_never_changes() -> None:
    assert [found async for found in discover("a:1", every_s=0.01)] == [{"a:1"}]


def replace(path: Path, content: bytes) -> None:
    """Change a file in one go, as an operator should."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


async def next_of(source: Any) -> frozenset[str]:
    async with asyncio.timeout(10):
        return await anext(source)


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "backends"
    path.write_text("a:1  # the old one\n\n# nothing here\nb:2\n")
    source = discover(f"file:{path}", every_s=0.01)
    assert await next_of(source) == {"a:1", "b:2"}
    replace(path, b"b:2\nc:3\n")
    assert await next_of(source) == {"b:2", "c:3"}
    replace(path, b"")
    assert await next_of(source) == frozenset()
    await source.aclose()


@pytest.mark.parametrize(
    "damage",
    [
        None,
        b"nonsense",
        b"\xff\xfe\x00",
        b"a:1\n" * 200_000,
        b"\n".join(b"a:%d" % number for number in range(MAX_BACKENDS + 1)),
    ],
    ids=["missing", "nonsense", "no text", "too large", "too many"],
)
async def test_a_file_that_cannot_be_read_changes_nothing(
    tmp_path: Path, damage: bytes | None
) -> None:
    path = tmp_path / "backends"
    path.write_text("a:1")
    source = discover(f"file:{path}", every_s=0.01)
    assert await next_of(source) == {"a:1"}
    if damage is None:
        path.unlink()
    else:
        replace(path, damage)
    upcoming = asyncio.create_task(anext(source))
    await asyncio.sleep(0.1)
    assert not upcoming.done()
    replace(path, b"b:2")
    async with asyncio.timeout(10):
        assert await upcoming == {"b:2"}
    await source.aclose()


async def test_a_file_that_is_wrong_to_begin_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        await anext(discover(f"file:{tmp_path / 'missing'}", every_s=0.01))


async def test_a_name_is_looked_up() -> None:
    source = discover("dns:localhost:50051", every_s=0.01)
    assert await next_of(source) == {"127.0.0.1:50051"}
    await source.aclose()


async def test_a_name_that_is_not_there_yet_is_waited_for() -> None:
    source = discover("dns:no-such-host.invalid:50051", every_s=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(source)
    await source.aclose()


@pytest.mark.parametrize("source", ["dns:", "dns:host", "dns:host:port", "file:"])
async def test_what_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(ConfigError):
        await anext(discover(source, every_s=0.01))
