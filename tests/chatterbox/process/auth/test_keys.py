"""Keys and their file."""

import json
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from chatterbox.process.auth import key_file as module
from chatterbox.process.auth.callers import Limits, Role
from chatterbox.process.auth.key_file import changing_keys, read_keys
from chatterbox.process.auth.keys import ApiKey, digest_of, id_of, new_key_text


def test_keys_are_long_random_and_name_themselves() -> None:
    texts = {new_key_text() for _ in range(100)}
    assert len(texts) == 100
    for text in texts:
        key_id = id_of(text)
        assert key_id is not None
        assert text.startswith(f"cb_{key_id}_")
        assert len(text.rpartition("_")[2]) * 5 >= 256  # bits, five in a character


@pytest.mark.parametrize("text", ["", "cb_", "none", "cb_aaaaaaaa_short", "sk-1234", "cb_ä" * 16])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_the_file_is_the_owners_alone_and_holds_no_key(key_file: Path, make_key: Any) -> None:
    text = make_key("alice")
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    written = key_file.read_text()
    secret = text.rpartition("_")[2]
    assert secret not in written
    assert digest_of(text) in written
    assert not [
        left for left in key_file.parent.iterdir() if "lock" not in left.name and left != key_file
    ]


def test_what_was_written_is_read(key_file: Path, make_key: Any) -> None:
    first = make_key("alice", role=Role.ADMIN, max_streams=3)
    second = make_key("bob", characters_per_minute=900)
    keys = read_keys(key_file)
    assert [key.name for key in keys.values()] == ["alice", "bob"]
    assert [key.fits(first) for key in keys.values()] == [True, False]
    assert [key.fits(second) for key in keys.values()] == [False, True]
    holder = keys[str(id_of(first))].caller(Limits(max_streams=9, characters_per_minute=60))
    assert (holder.role, holder.id) == (Role.ADMIN, first[:11])
    assert holder.limits == Limits(max_streams=3, characters_per_minute=60)


def test_the_limits_of_one_caller_are_not_those_of_a_balancer(
    key_file: Path, make_key: Any
) -> None:
    make_key("a balancer", role=Role.BALANCER)
    make_key("a small one", role=Role.BALANCER, max_streams=8)
    plain, small = read_keys(key_file).values()
    defaults = Limits(max_streams=1, characters_per_minute=60)
    assert plain.caller(defaults).limits == Limits()
    assert small.caller(defaults).limits == Limits(max_streams=8)


def test_a_change_that_fails_changes_nothing(key_file: Path, make_key: Any) -> None:
    make_key()
    before = key_file.read_text()

    def fail() -> None:
        with changing_keys(key_file) as keys:
            keys.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert key_file.read_text() == before


def test_changes_of_several_processes_are_all_kept(key_file: Path) -> None:
    code = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from chatterbox.process.auth.key_file import changing_keys
from chatterbox.process.auth.keys import *
for _ in range(10):
    text = new_key_text()
    with changing_keys(Path(sys.argv[1])) as keys:
        keys[id_of(text)] = ApiKey(
            id=id_of(text), name="x", digest=digest_of(text), created=datetime.now(UTC)
        )
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, key_file]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(read_keys(key_file)) == 30


def test_a_file_holds_so_many_keys_and_no_more(
    key_file: Path, make_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 2)
    make_key()
    make_key()
    with pytest.raises(ConfigError, match="at most 2"):
        make_key()
    assert len(read_keys(key_file)) == 2


def spoilt(**changes: Any) -> str:
    key = {
        "id": "aaaaaaaa",
        "name": "x",
        "digest": "0" * 64,
        "created": "2026-01-01T00:00:00Z",
    } | changes
    return json.dumps({"version": 1, "keys": [key]})


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "wrong"),
        ("[]", "wrong"),
        ('{"version": 2}', "version"),
        (spoilt(digest="abc"), "digest"),
        (spoilt(role="king"), "role"),
        (spoilt(created="yesterday"), "created"),
        (spoilt(created="2026-01-01T00:00:00"), "created"),
        (spoilt(max_streams=0), "max_streams"),
        (spoilt(secret="?"), "secret"),
        (" " * (8 * 1024 * 1024 + 1), "larger"),
    ],
)
def test_a_wrong_file_is_told(key_file: Path, content: str, word: str) -> None:
    key_file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_keys(key_file)
    assert str(key_file) in caught.value.message
    assert word in caught.value.message
    assert "0" * 64 not in caught.value.message


def test_a_missing_file_is_told_with_what_makes_one(key_file: Path) -> None:
    with pytest.raises(ConfigError, match="chatterbox keys create"):
        read_keys(key_file)
    with (
        pytest.raises(ConfigError, match="nowhere"),
        changing_keys(key_file / "nowhere" / "keys.json"),
    ):
        pass


def test_a_key_expires(key_file: Path, make_key: Any) -> None:
    make_key()
    (key,) = read_keys(key_file).values()
    assert not key.has_expired(key.created)
    dated = ApiKey.model_validate(key.model_dump() | {"expires": key.created})
    assert dated.has_expired(key.created)
    assert not dated.has_expired(key.created - timedelta(seconds=1))
