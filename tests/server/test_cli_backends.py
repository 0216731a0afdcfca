"""`chatterbox backends` against a balancer and two servers, each a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.cli import run

BIN = Path(sys.executable).parent


def started(program: str, *flags: str) -> tuple[subprocess.Popen[str], str]:
    """A process of ours and where it listens."""
    process = subprocess.Popen(
        [BIN / program, "--listen", "127.0.0.1:0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split("listening on ")[1].split()[0]


@pytest.fixture(scope="module")
def addresses() -> Iterator[tuple[str, str]]:
    """Of a balancer, and of the server behind it."""
    server, server_address = started("chatterbox-server", "--engine", "tone")
    balancer, address = started("chatterbox-balancer", "--backends", server_address)
    yield address, server_address
    for process in (balancer, server):
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(autouse=True)
def _the_balancer(monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, str]) -> None:
    monkeypatch.setenv("CHATTERBOX_BALANCER", addresses[0])


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The only backend."""
    assert run(["backends", "--json"]) == 0
    (backend,) = json.loads(capsys.readouterr().out)
    assert isinstance(backend, dict)
    return backend


def test_backends_are_a_table(capsys: pytest.CaptureFixture[str], addresses: Any) -> None:
    assert run(["backends"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["backend", "state", "streams"]
    assert row.split()[:3] == [addresses[1].replace(".", "-").replace(":", "-"), "serving", "0/32"]
    assert "8/8" in row
    assert "tone" in row


def test_a_backend_is_drained_and_comes_back(
    capsys: pytest.CaptureFixture[str], addresses: Any
) -> None:
    name = listed(capsys)["name"].partition("/")[2]
    assert run(["backends", "drain", name]) == 0
    assert "drained" in capsys.readouterr().out
    assert listed(capsys)["state"] == "STATE_DRAINED"
    assert run(["say", "Hello.", "--server", addresses[0], "-o", "out.wav"]) == 2
    capsys.readouterr()

    assert run(["backends", "undrain", addresses[1]]) == 0  # the address will do as well
    assert "serving" in capsys.readouterr().out
    assert listed(capsys)["state"] == "STATE_SERVING"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["backends", "drain"], "needs the id"),
        (["backends", "list", "something"], "takes no backends"),
        (["backends", "drain", "nobody"], "nobody"),
        (["backends", "explode"], "explode"),
        (["backends", "--server", "127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    # The last line alone: gRPC may complain of the event loops that earlier tests have closed.
    assert word in shown.err.splitlines()[-1]


def test_a_server_is_not_a_balancer(capsys: pytest.CaptureFixture[str], addresses: Any) -> None:
    assert run(["backends", "--server", addresses[1]]) == 2
    assert "is not a balancer" in capsys.readouterr().err.splitlines()[-1]
