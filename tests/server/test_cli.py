"""The command line: sound into files and pipes, lists, and one clear line when it fails."""

import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli import run

CHATTERBOX = Path(sys.executable).parent / "chatterbox"
TEXT = "Hello there. This is a test of the command line."


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of tones, on a process of its own so that this one's loop stays free."""
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
    monkeypatch.setenv("CHATTERBOX_ENGINE", "tone")
    monkeypatch.chdir(tmp_path)


def piped(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [CHATTERBOX, *arguments], input=given, capture_output=True, check=False, timeout=60
    )


def samples(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        frames = file.readframes(file.getnframes())
    assert len(frames) == path.stat().st_size - 44  # the sizes in the header are true
    return frames


def test_say_writes_a_file_and_tells_its_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["say", TEXT, "-o", "out.wav", "--seed", "3", "--voice", "bass"]) == 0

    assert len(samples(tmp_path / "out.wav")) > 48_000
    shown = capsys.readouterr()
    assert shown.out == ""
    for word in ("out.wav", "first audio after", "RTF", "no gaps", "voices/bass", "seed 3"):
        assert word in shown.err


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        assert run(["say", TEXT, "-o", name, "--seed", "3"]) == 0
    assert samples(tmp_path / "a.wav") == samples(tmp_path / "b.wav")


def test_say_streams_the_same_sound_to_a_pipe(tmp_path: Path) -> None:
    assert run(["say", TEXT, "-o", "out.wav", "--seed", "3"]) == 0
    done = piped("say", TEXT, "-o", "-", "--seed", "3")

    assert done.returncode == 0
    assert done.stdout[:4] == b"RIFF"
    assert done.stdout[44:] == samples(tmp_path / "out.wav")
    assert b"RTF" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        ("a.mp3", [], b"\xff\xf3"),
        ("a.ogg", ["--rate", "16000"], b"OggS"),
        ("a.flac", ["--speaking-rate", "1.5"], b"fLaC"),
        ("a", ["--format", "flac", "--gain", "-6"], b"fLaC"),
        ("a.txt", [], b"RIFF"),
    ],
)
def test_say_writes_what_the_name_or_the_format_says(
    tmp_path: Path, name: str, options: list[str], begins: bytes
) -> None:
    assert run(["say", TEXT, "-o", name, *options]) == 0
    data = (tmp_path / name).read_bytes()
    assert data[: len(begins)] == begins
    assert len(data) > 5_000


def test_a_telephone_gets_a_byte_a_sample(tmp_path: Path) -> None:
    assert run(["say", TEXT, "-o", "a.wav", "--seed", "3"]) == 0
    assert run(["say", TEXT, "-o", "a.ul", "--rate", "8000", "--seed", "3"]) == 0
    seconds = len(samples(tmp_path / "a.wav")) / 48_000
    assert len((tmp_path / "a.ul").read_bytes()) == pytest.approx(seconds * 8_000, abs=2)


def test_say_speaks_standard_input(tmp_path: Path) -> None:
    done = piped("say", "-", "-o", "out.wav", given="One. Zwei, fünf.\nSix".encode())
    assert done.returncode == 0, done.stderr
    assert len(samples(tmp_path / "out.wav")) > 10_000


def test_standard_input_is_spoken_while_it_is_still_open() -> None:
    process = subprocess.Popen(
        [CHATTERBOX, "say", "-", "-o", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"This sentence is whole. And this")
    process.stdin.flush()
    assert process.stdout.read(1000)[:4] == b"RIFF"
    process.stdin.close()
    process.stdout.read()
    process.stdout.close()
    assert process.wait(30) == 0


def test_a_reader_who_leaves_the_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{CHATTERBOX} say '{TEXT * 20}' -o - | head -c 10 | wc -c; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["10", "0"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["say"], "text"),
        (["say", ""], "nothing to speak"),
        (["say", "?!"], "nothing to speak"),
        (["say", "word " * 40_000], "100000"),
        (["say", "Hello.", "--voice", "nobody"], "nobody"),
        (["say", "Hello.", "--model", "nothing"], "nothing"),
        (["say", "Hello.", "--language", "tlh"], "tlh"),
        (["say", "Hello.", "--temperature", "nan"], "temperature"),
        (["say", "Hello.", "--temperature", "9"], "temperature"),
        (["say", "Hello.", "--temperature", "warm"], "--temperature"),
        (["say", "Hello.", "--seed", "-1"], "seed"),
        (["say", "Hello.", "--seed", str(2**70)], "range"),
        (["say", "Hello.", "--top-k", str(2**40)], "range"),
        (["say", "Hello.", "-o", "no/such/folder/a.wav"], "no/such/folder"),
        (["say", "Hello.", "-o", "."], "cannot write"),
        (["say", "Hello.", "-o", "a.m4a"], ".m4a"),
        (["say", "Hello.", "--format", "wma"], "wma"),
        (["say", "Hello.", "--rate", "44000"], "44000 Hz"),
        (["say", "Hello.", "--format", "opus", "--rate", "44100"], "opus at 44100 Hz"),
        (["say", "Hello.", "--speaking-rate", "3"], "speaking_rate"),
        (["say", "Hello.", "--gain", "17"], "volume_gain_db"),
        (["say", "Hello.", "--pronounce", "Hello"], "WORD=SPOKEN"),
        (["say", "Hello.", "--server", "127.0.0.1:1"], "127.0.0.1:1"),
        (["say", "Hello.", "--loudly"], "--loudly"),
        (["sing"], "sing"),
        (["voices", "--server", "127.0.0.1:1"], "127.0.0.1:1"),
        (["serve", "--max-streams", "0"], "--max-streams"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    assert run(arguments) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    # The last line alone: gRPC may complain of the event loops that earlier tests have closed.
    last = shown.err.splitlines()[-1]
    assert last.startswith("chatterbox")
    assert words in last
    assert not list(tmp_path.iterdir())  # no half a file


@pytest.mark.parametrize(
    "arguments",
    [
        ["say", "Hello.", "--voice", "nobody"],
        ["say", "Hello.", "--server", "127.0.0.1:1"],
        ["say", "Hello.", "--loudly"],
    ],
)
def test_a_failing_process_writes_that_line_and_no_more(arguments: list[str]) -> None:
    done = piped(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"chatterbox: ")
    assert done.stderr.count(b"\n") == 1


def test_a_refusal_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    (tmp_path / "out.wav").write_bytes(b"precious")
    assert run(["say", "Hello.", "-o", "out.wav", "--voice", "nobody"]) == 2
    assert (tmp_path / "out.wav").read_bytes() == b"precious"


def test_too_much_standard_input_is_refused_with_its_reason(tmp_path: Path) -> None:
    done = piped("say", "-", "-o", "out.wav", given=b"word " * 40_000)
    assert done.returncode == 2
    assert b"at most 100000" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


def test_voices_and_models_are_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["voices"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[:2] == ["voice", "name"]
    assert [row.split()[0] for row in rows[1:]] == ["alto", "bass"]
    assert run(["models"]) == 0
    assert "temperature 0.8" in capsys.readouterr().out


def test_voices_and_models_are_json_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["voices", "--json"]) == 0
    voices = json.loads(capsys.readouterr().out)
    assert [voice["name"] for voice in voices] == ["voices/alto", "voices/bass"]
    assert run(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["sample_rate_hertz"] == 24_000


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("say", "serve", "voices", "models", "evaluate"):
        assert command in shown


def test_without_a_server_one_is_started_for_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CHATTERBOX_SERVER")
    monkeypatch.setattr("server.cli_connection.LOCAL", ("127.0.0.1:1",))
    assert run(["say", TEXT, "-o", "out.wav"]) == 0
    assert samples(tmp_path / "out.wav")


def test_a_server_that_runs_here_is_used(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.delenv("CHATTERBOX_SERVER")
    monkeypatch.setattr("server.cli_connection.LOCAL", ("127.0.0.1:1", address))
    monkeypatch.setenv("CHATTERBOX_ENGINE", "no such engine: a server started here would fail")
    assert run(["say", TEXT, "-o", "out.wav"]) == 0


def test_a_server_that_dies_in_mid_stream_leaves_no_half_a_file(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [CHATTERBOX, "serve", "--engine", "tone", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    address = server.stdout.readline().split("listening on ")[1].split()[0]
    client = subprocess.Popen(
        [CHATTERBOX, "say", "-", "-o", "out.wav", "--server", address],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdin is not None
    client.stdin.write(b"This sentence is whole. And this")
    client.stdin.flush()
    while not (tmp_path / "out.wav").exists():
        assert client.poll() is None
    server.kill()
    server.communicate()
    _, errors = client.communicate(timeout=60)
    assert client.returncode == 2
    assert errors.count(b"\n") == 1
    assert not (tmp_path / "out.wav").exists()
