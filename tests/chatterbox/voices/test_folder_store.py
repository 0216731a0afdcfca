"""Voices as folders: whole or not there, whoever else writes, and whatever the disk does."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    StorageFailed,
    StorageFull,
)
from chatterbox.voices import folder_store
from chatterbox.voices.folder_store import FolderStore

FILES = {"voice.json": b"{}", "reference.safetensors": b"samples"}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "voices")


def everything(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_what_was_kept_is_read_again(store: FolderStore) -> None:
    assert store.stamps() == {}
    store.create("mia", FILES)

    assert list(store.stamps()) == ["mia"]
    assert store.names("mia") == tuple(sorted(FILES))
    assert store.read("mia", "voice.json") == b"{}"


def test_a_second_voice_of_an_id_is_refused_and_the_first_stays(store: FolderStore) -> None:
    store.create("mia", FILES)
    with pytest.raises(AlreadyExists) as refusal:
        store.create("mia", {"voice.json": b"another"})
    assert refusal.value.resource == "voices/mia"
    assert store.read("mia", "voice.json") == b"{}"


def test_a_voice_that_is_deleted_is_gone(store: FolderStore, tmp_path: Path) -> None:
    store.create("mia", FILES)
    store.delete("mia")

    assert store.stamps() == {}
    assert everything(tmp_path / "voices") == [".generation"]
    for act in (store.delete, store.names):
        with pytest.raises(NotFound):
            act("mia")


def test_a_file_is_replaced_as_a_whole(store: FolderStore) -> None:
    store.create("mia", FILES)
    before = store.stamps()["mia"]
    store.replace("mia", "voice.json", b'{"more": true}')

    assert json.loads(store.read("mia", "voice.json")) == {"more": True}
    assert store.stamps()["mia"] != before
    assert store.names("mia") == tuple(sorted(FILES))
    with pytest.raises(NotFound):
        store.replace("nobody", "voice.json", b"{}")


@pytest.mark.parametrize("wrong", ["", ".", "..", "../ada", "a/b", "/etc", "A", "a\0b", "a" * 64])
def test_no_id_leads_out_of_the_folder(store: FolderStore, wrong: str) -> None:
    store.create("ada", FILES)
    acts: list[Any] = [
        lambda: store.create(wrong, FILES),
        lambda: store.read(wrong, "voice.json"),
        lambda: store.replace(wrong, "voice.json", b""),
        lambda: store.delete(wrong),
    ]
    for act in acts:
        with pytest.raises(InvalidRequest):
            act()


def test_a_change_is_seen_in_the_generation(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_store, "_SURE_AFTER_S", 0.0)
    seen = [store.generation()]
    acts: list[Any] = [
        lambda: store.create("mia", FILES),
        lambda: store.replace("mia", "voice.json", b"[]"),
        lambda: store.delete("mia"),
    ]
    for act in acts:
        act()
        assert store.generation() == store.generation()
        seen.append(store.generation())
    assert len(set(seen)) == len(seen)


def test_a_folder_that_changed_just_now_may_change_again_unseen(store: FolderStore) -> None:
    store.create("mia", FILES)
    assert store.generation() is None


def test_what_a_crash_left_is_no_voice_and_is_swept_in_time(
    store: FolderStore, tmp_path: Path
) -> None:
    store.create("mia", FILES)
    root = tmp_path / "voices"
    for name in (".new-1", ".gone-1"):
        (root / name).mkdir()
        (root / name / "voice.json").write_bytes(b"{}")
    old_s = time.time() - 2 * folder_store.ABANDONED_S
    os.utime(root / ".new-1", (old_s, old_s))

    assert list(store.stamps()) == ["mia"]
    store.sweep()
    assert everything(root) == [".generation", ".gone-1", "mia"]


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that keeps voices."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


LITTLE_ROOM = """
import pathlib, resource, sys
from chatterbox.errors import ChatterboxError
from chatterbox.voices.folder_store import FolderStore

root = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
store = FolderStore(root)
try:
    store.create("big", {"voice.json": b"{}", "reference.safetensors": bytes(20_000)})
except ChatterboxError as error:
    print(type(error).__name__, list(root.iterdir()))
store.create("small", {"voice.json": b"{}"})
"""


def test_a_full_disk_is_told_and_nothing_is_left_of_the_voice(tmp_path: Path) -> None:
    """A process may write no file as large as that, which fails where a full disk would."""
    root = tmp_path / "voices"
    told, _ = started(LITTLE_ROOM, root).communicate(timeout=60)

    assert told.split(maxsplit=1) == [StorageFull.__name__, "[]\n"]
    assert list(FolderStore(root).stamps()) == ["small"]


MANY = """
import pathlib, sys
from chatterbox.errors import AlreadyExists
from chatterbox.voices.folder_store import FolderStore

store, mark = FolderStore(pathlib.Path(sys.argv[1])), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    try:
        store.create(f"voice-{number}", {"voice.json": mark, "reference.safetensors": mark})
        print(number)
    except AlreadyExists:
        pass
"""


def test_of_two_servers_that_make_the_same_voice_one_does(tmp_path: Path) -> None:
    root = tmp_path / "voices"
    servers = {mark: started(MANY, root, mark) for mark in "12"}
    for server in servers.values():
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
    for server in servers.values():
        assert server.stdin is not None
        server.stdin.write("go\n")
        server.stdin.flush()
    made = {
        mark: [int(line) for line in server.communicate(timeout=60)[0].split()]
        for mark, server in servers.items()
    }

    assert sorted(made["1"] + made["2"]) == list(range(40))
    store = FolderStore(root)
    for mark, numbers in made.items():
        for number in numbers:
            names = store.names(f"voice-{number}")
            assert {store.read(f"voice-{number}", name) for name in names} == {mark.encode()}


def test_a_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("a file")
    store = FolderStore(tmp_path / "voices")
    for act in (store.stamps, lambda: store.create("mia", FILES)):
        with pytest.raises(StorageFailed):
            act()
