"""The keys of a file as they are now."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from chatterbox.errors import ConfigError, Unauthenticated
from chatterbox.process.auth import key_ring as module
from chatterbox.process.auth.callers import NO_LIMITS
from chatterbox.process.auth.key_file import changing_keys
from chatterbox.process.auth.key_ring import KeyRing
from chatterbox.process.auth.keys import id_of, new_key_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def ring(
    key_file: Path, make_key: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KeyRing]:
    """Of a file with one key, followed closely."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    make_key("the first")
    ring = KeyRing(key_file, defaults=NO_LIMITS)
    following = asyncio.create_task(ring.follow())
    yield ring
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


def is_valid(ring: KeyRing, text: str) -> bool:
    try:
        ring.caller_of(text, NOW)
    except Unauthenticated:
        return False
    return True


async def test_new_and_revoked_keys_are_noticed(
    ring: KeyRing, key_file: Path, make_key: Any
) -> None:
    text = make_key("another")
    await until(lambda: is_valid(ring, text))
    with changing_keys(key_file) as keys:
        del keys[str(id_of(text))]
    await until(lambda: not is_valid(ring, text))


@pytest.mark.parametrize(
    "spoil", [lambda key_file: key_file.write_text("half an edi"), Path.unlink]
)
async def test_a_wrong_or_missing_file_locks_nobody_out(
    ring: KeyRing, key_file: Path, make_key: Any, spoil: Callable[[Path], Any]
) -> None:
    text = make_key("another")
    await until(lambda: is_valid(ring, text))
    with capture_logs() as logs:
        spoil(key_file)
        await until(lambda: any("stay as they were" in line["event"] for line in logs))
    assert is_valid(ring, text)
    Path.unlink(key_file, missing_ok=True)
    make_key("a whole one again")
    await until(lambda: not is_valid(ring, text))


async def test_keys_that_are_not_valid_are_refused_alike(ring: KeyRing, make_key: Any) -> None:
    text = make_key("another")
    await until(lambda: is_valid(ring, text))
    other = new_key_text()
    forged = text[:12] + other[12:]  # the id of one, the secret of another
    for wrong in (other, forged, text[:-1], text + "a", text.upper(), "cb_", ""):
        with pytest.raises(Unauthenticated) as caught:
            ring.caller_of(wrong, NOW)
        assert caught.value.reason == "INVALID_API_KEY"
        assert caught.value.message == "this API key is not valid"


async def test_an_expired_key_says_so(ring: KeyRing, make_key: Any) -> None:
    text = make_key("for a day", expires=NOW + timedelta(days=1))
    await until(lambda: is_valid(ring, text))
    with pytest.raises(Unauthenticated) as caught:
        ring.caller_of(text, NOW + timedelta(days=1))
    assert caught.value.reason == "EXPIRED_API_KEY"


def test_a_missing_file_stops_the_start(key_file: Path) -> None:
    with pytest.raises(ConfigError, match=str(key_file)):
        KeyRing(key_file, defaults=NO_LIMITS)
