"""`chatterbox voices`: a voice is made, shown, exported, removed and imported again."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli import run

CHATTERBOX = Path(sys.executable).parent / "chatterbox"


@pytest.fixture(scope="module", autouse=True)
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of tones with room for voices, on a process of its own."""
    folder = tmp_path_factory.mktemp("voices")
    process = subprocess.Popen(
        [
            *(CHATTERBOX, "serve", "--engine", "tone"),
            *("--listen", "127.0.0.1:0", "--voices-dir", folder / "store"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().split("listening on ")[1].split()[0]
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, address: str, tmp_path: Path, recording: bytes) -> Path:
    monkeypatch.setenv("CHATTERBOX_SERVER", address)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mia.ogg").write_bytes(recording)
    return tmp_path / "mia.ogg"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["voices", *arguments]) == 0
    return capsys.readouterr().out


def test_the_life_of_a_voice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = shown(capsys, "add", "mia", "mia.ogg", "--consent", "--name", "Mia", "--gender=female")
    for word in ("mia", "female", "tone", "consent", "% speech", "LUFS"):
        assert word in made
    assert [row.split()[0] for row in shown(capsys, "list").splitlines()] == [
        *("voice", "alto", "bass", "mia")
    ]
    assert shown(capsys, "show", "mia") == made
    assert "came with the installation" in shown(capsys, "show", "voices/alto")

    shown(capsys, "export", "mia")
    shown(capsys, "remove", "mia")
    assert "mia" not in shown(capsys)
    back = json.loads(shown(capsys, "import", "mia.zip", "--json"))
    assert (back["name"], back["display_name"]) == ("voices/mia", "Mia")
    assert json.loads(shown(capsys, "import", "mia.zip", "--id=zoe", "--json"))
    shown(capsys, "remove", "mia")
    shown(capsys, "remove", "zoe")


def test_a_recording_can_be_judged_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert "% speech" in shown(capsys, "add", "mia", "mia.ogg", "--consent", "--check")
    assert "mia" not in shown(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "mia", "mia.ogg"], "--consent"),
        (["add", "mia", "nothing.wav", "--consent"], "nothing.wav"),
        (["add", "Mia!", "mia.ogg", "--consent"], "lower-case"),
        (["add", "alto", "mia.ogg", "--consent"], "already"),
        (["add", "mia", "text.mp3", "--consent"], "cannot be read"),
        (["show", "nobody"], "nobody"),
        (["remove", "alto"], "installation"),
        (["export", "nobody"], "nobody"),
        (["export", "alto", "-o", "no/such/folder.zip"], "cannot write"),
        (["import", "text.mp3"], "ZIP"),
        (["import", "text.pt", "--consent"], "no published voice"),
        (["import", "text.pt"], "--consent"),
        (["sing"], "sing"),
    ],
)
def test_what_goes_wrong_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    for name in ("text.mp3", "text.pt"):
        (tmp_path / name).write_text("ffconcat version 1.0\nfile 'a.wav'\n")
    assert run(["voices", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("chatterbox")
    assert words in last
