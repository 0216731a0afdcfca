"""`chatterbox convert`: from files and pipes, into files and pipes, and one clear line when it fails."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import AudioEncoder, Encoding
from chatterbox.audio.files import pcm16, read_clip, wav_bytes
from server.cli import run

CHATTERBOX = Path(sys.executable).parent / "chatterbox"
RATE = 24_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of tones, which gives back what it is to convert."""
    process = subprocess.Popen(
        [CHATTERBOX, "serve", "--engine", "tone", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.split("listening on ")[1].split()[0]
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(autouse=True)
def _the_tone_server(monkeypatch: pytest.MonkeyPatch, address: str, tmp_path: Path) -> None:
    monkeypatch.setenv("CHATTERBOX_SERVER", address)
    monkeypatch.chdir(tmp_path)


def piped(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [CHATTERBOX, *arguments], input=given, capture_output=True, check=False, timeout=60
    )


def tone(seconds: float) -> Clip:
    moments = np.arange(int(seconds * RATE)) / RATE
    return Clip((0.4 * np.sin(2 * np.pi * 440 * moments)).astype(np.float32), RATE)


def test_a_file_becomes_a_file_of_the_same_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.wav").write_bytes(wav_bytes(tone(5.0)))
    assert run(["convert", "in.wav", "--voice", "bass", "-o", "out.wav", "--seed", "3"]) == 0
    clip = read_clip(tmp_path / "out.wav")
    assert clip.duration_s == pytest.approx(5.0, abs=0.001)
    shown = capsys.readouterr()
    for word in ("out.wav", "5.00 s of audio", "RTF", "voices/bass", "seed 3"):
        assert word in shown.err


def test_a_pipe_becomes_a_pipe() -> None:
    encoder = AudioEncoder(Encoding.MP3, RATE)
    mp3 = encoder.encode(tone(3.0).samples) + encoder.finish()
    done = piped("convert", "-", "-o", "-", "--format", "pcm", given=mp3)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) / 2 / RATE == pytest.approx(3.0, abs=0.1)


def test_bare_samples_become_what_the_name_says(tmp_path: Path) -> None:
    (tmp_path / "in.pcm").write_bytes(pcm16(tone(2.0)))
    assert run(["convert", "in.pcm", "--pcm-rate", "24000", "-o", "out.flac"]) == 0
    assert (tmp_path / "out.flac").read_bytes()[:4] == b"fLaC"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.wav"], "no such file"),
        (["in.wav", "-o", "in.wav"], "written over"),
        (["in.wav", "--voice", "nobody"], "nobody"),
        (["in.wav", "--speaking-rate", "9"], "speaking_rate"),
        (["in.wav", "--pcm-rate", "7"], "samples a second"),
        (["in.wav", "-o", "out.m4a"], ".m4a is not written"),
        (["small.txt"], "cannot be read"),
        (["large.txt"], "cannot be read"),
    ],
)
def test_what_fails_says_why_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "in.wav").write_bytes(wav_bytes(tone(1.0)))
    (tmp_path / "small.txt").write_text("no sound " * 50)
    (tmp_path / "large.txt").write_text("no sound " * 2_000_000)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(["convert", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
