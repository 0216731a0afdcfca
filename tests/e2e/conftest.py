"""The whole stack as `make run` starts it: Envoy, a balancer and two servers of tones, as processes."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(sys.executable).parent
START_S = 60.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that runs. Addresses are host:port."""

    edge: str
    balancer: str
    servers: tuple[str, ...]
    shown: str  # what it printed
    log: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://{self.edge}"

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.edge, timeout=20)

    def ask(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> "Answer":
        """One request over a connection of its own."""
        with contextlib.closing(self.connection()) as connection:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(verb, path, data, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def pid_of(self, name: str) -> int:
        """Of the process of that name that began last."""
        began = re.compile(r"^\{.*\"a process began\".*\}$", re.MULTILINE)
        events = [json.loads(line) for line in began.findall(self.log.read_text())]
        return int([event["pid"] for event in events if event["name"] == name][-1])

    def busy_server(self) -> str:
        """The name of a server that a call speaks on."""

        def busy() -> list[int]:
            backends = self.ask("GET", "/v1/backends").json()["backends"]
            addresses = [each["address"] for each in backends if each["active_streams"]]
            return [self.servers.index(address) for address in addresses]

        until(lambda: bool(busy()))
        return f"server-{busy()[0]}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Wait until a condition holds; fails when it never does."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "this never came to hold"
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, *flags: str) -> Iterator[Stack]:
    """A stack of tones on free ports."""
    if not (SCRIPTS / "envoy").exists():
        pytest.skip("there is no Envoy wheel for this machine")
    log = folder / "stack.log"
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "balancer-listen", "server-listen")]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [
                *(SCRIPTS / "chatterbox", "up", *ports),
                *("--server-flags=--engine tone --max-utilisation 0", "--web-root=none", *flags),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={key: value for key, value in os.environ.items() if "CHATTERBOX" not in key},
        )
    try:
        shown = _shown(process, log)
        edge = re.search(r"https?://(\S+)", shown)
        inner = re.search(r"balancer is at (\S+) .* servers at (.*)", shown)
        assert edge is not None, shown
        assert inner is not None, shown
        yield Stack(
            edge=edge[1],
            balancer=inner[1],
            servers=tuple(inner[2].split(", ")),
            shown=shown,
            log=log,
            process=process,
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S)
        assert process.stdout is not None
        process.stdout.close()


def _shown(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:  # ends when the process does
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    raise AssertionError(f"the stack did not come up: {''.join(lines)}\n{log.read_text()}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), "--servers=2") as started:
        yield started


@pytest.fixture(scope="session")
def start_stack() -> Callable[..., contextlib.AbstractContextManager[Stack]]:
    """Starts a stack that several tests share; its files are in the folder given."""
    return running


@pytest.fixture
def another_stack(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Stack]]:
    """Starts a stack for a test that ends it."""
    return lambda *flags: running(tmp_path, *flags)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return until
