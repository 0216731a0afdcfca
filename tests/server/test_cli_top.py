"""`chatterbox top` against real processes, on a real terminal and without one."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.cli import run

BIN = Path(sys.executable).parent
TEXT = "Hello there, and once more."


def started(program: str, *flags: str, port: str = "0") -> tuple[subprocess.Popen[str], str]:
    """A process of ours and where it listens."""
    process = subprocess.Popen(
        [BIN / program, "--listen", f"127.0.0.1:{port}", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split("listening on ")[1].split()[0]


def stopped(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    process, address = started("chatterbox-server", "--engine", "tone")
    try:
        with grpc.insecure_channel(address) as channel:
            request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=TEXT))
            list(TextToSpeechServiceStub(channel).Synthesize(request, timeout=20))
        yield address
    finally:
        stopped(process)


@pytest.fixture(scope="module")
def balancer(server: str) -> Iterator[str]:
    process, address = started("chatterbox-balancer", "--backends", server)
    with grpc.insecure_channel(address) as channel:
        for text in (TEXT, "..."):  # the second is refused, and that is no failure
            request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=text))
            call = TextToSpeechServiceStub(channel).Synthesize(request, timeout=20)
            try:
                list(call)
            except grpc.RpcError:
                assert text == "..."
    yield address
    stopped(process)


def told(capsys: pytest.CaptureFixture[str], address: str) -> dict[str, Any]:
    assert run(["top", "--json", "--server", address]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_json_holds_the_figures_of_a_cluster(
    capsys: pytest.CaptureFixture[str], balancer: str, server: str
) -> None:
    found = told(capsys, balancer)
    assert found["balancer"]["calls"] == 2
    assert found["balancer"]["failures"] == 0
    (row,) = found["servers"]
    assert (row["address"], row["state"]) == (server, "serving")
    assert (row["streams"], row["max_streams"]) == (0, 32)
    assert row["models"] == ["tone"]
    assert row["calls"] == 3
    assert row["audio_s"] > 1
    assert 0 < row["time_to_first_audio_p50_s"] <= row["time_to_first_audio_p95_s"]
    assert row["errors"] == 0
    assert found["total"]["audio_s"] == row["audio_s"]


def test_one_table_and_the_end(
    capsys: pytest.CaptureFixture[str], balancer: str, server: str
) -> None:
    assert run(["top", "--once", "--server", balancer]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1 server serving" in shown
    assert f"{server}" in shown
    assert "0/32" in shown


def test_a_server_without_a_balancer_tells_of_itself(
    capsys: pytest.CaptureFixture[str], server: str
) -> None:
    assert run(["top", "--once", "--server", server]) == 0
    assert "a model server by itself" in capsys.readouterr().out
    found = told(capsys, server)
    assert found["balancer"] is None
    assert found["servers"][0]["address"] == server
    assert found["servers"][0]["audio_s"] > 1


def test_nobody_there_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "--once", "--server", "127.0.0.1:1"]) == 2
    assert "nothing can be reached at 127.0.0.1:1" in capsys.readouterr().err.splitlines()[-1]


class Terminal:
    """`chatterbox top` on a terminal of 80 columns, and what it has shown."""

    def __init__(self, address: str) -> None:
        pid, self._side = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm", COLUMNS="80", LINES="24")
            os.execv(BIN / "chatterbox", ["chatterbox", "top", "--server", address])
        self.pid = pid
        self._shown = ""

    def shows(self, words: str, *, timeout_s: float = 30.0) -> None:
        """Wait for words that come from now on."""
        deadline_s = time.monotonic() + timeout_s
        self._shown = ""
        while words not in self._shown:
            assert time.monotonic() < deadline_s, self._shown
            if select.select([self._side], [], [], 0.1)[0]:
                self._shown += os.read(self._side, 65_536).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._side, key.encode())

    def ended(self) -> int:
        """Its exit code; what it still writes is read meanwhile, or it could not end."""
        deadline_s = time.monotonic() + 30.0
        while time.monotonic() < deadline_s:
            if select.select([self._side], [], [], 0.1)[0]:
                try:
                    os.read(self._side, 65_536)
                except OSError:  # it has closed its side
                    break
        os.close(self._side)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize("end", ["q", "\x03"])  # Ctrl-C, as a terminal sends it
def test_a_key_ends_it(balancer: str, end: str) -> None:
    terminal = Terminal(balancer)
    terminal.shows("1 of 1 server serving")
    terminal.press("x")
    terminal.shows("1 of 1 server serving")
    terminal.press(end)
    assert terminal.ended() == 0


def test_a_balancer_may_go_and_come_back(server: str) -> None:
    process, address = started("chatterbox-balancer", "--backends", server)
    terminal = Terminal(address)
    try:
        terminal.shows("1 of 1 server serving")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        terminal.shows("cannot be reached; what is shown is")
        terminal.shows(server)  # and it is still shown
        process, _ = started(
            "chatterbox-balancer", "--backends", server, port=address.rpartition(":")[2]
        )
        while True:
            terminal.shows("1 of 1 server serving")
            if "cannot be reached" not in terminal._shown:
                break
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        stopped(process)
