"""A real balancer on a loopback port, real backends behind it, and what tests say to them."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_status import rpc_status

from balancer.app import RunningBalancer, serving
from balancer.settings import BalancerSettings, load_settings
from chatterbox.process.grpc_options import client_options, server_options
from chatterbox.worker.v1 import worker_service_pb2
from chatterbox.worker.v1.worker_service_pb2_grpc import (
    WorkerServiceServicer,
    add_WorkerServiceServicer_to_server,
)

HEALTH_SERVICE = "chatterbox.v1.TextToSpeechService"
Script = Callable[[Any], Awaitable[None]]
Status = health_pb2.HealthCheckResponse.ServingStatus


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in BalancerSettings.model_fields:
        monkeypatch.delenv(f"CHATTERBOX_BALANCER_{name.upper()}", raising=False)
    monkeypatch.delenv("CHATTERBOX_BALANCER", raising=False)
    monkeypatch.delenv("CHATTERBOX_SERVER", raising=False)
    yield
    structlog.reset_defaults()


async def echo(context: Any) -> None:
    """Send every message back."""
    while (message := await context.read()) is not grpc.aio.EOF:
        await context.write(message)


class ScriptedBackend(grpc.GenericRpcHandler, WorkerServiceServicer):
    """A real server that answers every method as the test's `script` does."""

    def __init__(self) -> None:
        self.script: Script = echo
        self.address = ""
        self.calls: list[str] = []  # methods
        self.metadata: list[dict[str, Any]] = []
        self.active = 0
        self.load: worker_service_pb2.WatchLoadResponse | None = None
        self.health = health_aio.HealthServicer()

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method

        async def behaviour(_: Any, context: Any) -> None:
            self.calls.append(method)
            self.metadata.append(dict(context.invocation_metadata()))
            self.active += 1
            try:
                await self.script(context)
            finally:
                self.active -= 1

        return grpc.stream_stream_rpc_method_handler(behaviour)

    async def WatchLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        while self.load is not None:
            yield self.load
            await asyncio.sleep(0.02)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def say(self, *, serving: bool) -> None:
        """What health checks are told."""
        status = Status.SERVING if serving else Status.NOT_SERVING
        await self.health.set(HEALTH_SERVICE, status)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["ScriptedBackend"]:
        server = grpc.aio.server(options=server_options())
        server.add_generic_rpc_handlers([self])
        add_WorkerServiceServicer_to_server(self, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        await self.say(serving=True)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._server = server
        try:
            yield self
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Vanish."""
        await self._server.stop(0)


@pytest.fixture
def scripted() -> ScriptedBackend:
    """A backend that does not run yet."""
    return ScriptedBackend()


@pytest.fixture
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with ScriptedBackend().running() as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[ScriptedBackend]:
    async with ScriptedBackend().running() as running:
        yield running


class Client:
    """Calls methods by name, with messages of bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def call(self, method: str = "/test.Service/Method", **options: Any) -> Any:
        """A call in both directions; read, write and done_writing are the test's to do."""
        return self.channel.stream_stream(method)(**options)

    async def send(
        self, *messages: bytes, method: str = "/test.Service/Method", **options: Any
    ) -> list[bytes]:
        """All answers to these messages."""
        async with asyncio.timeout(20):
            return [
                answer
                async for answer in self.channel.stream_stream(method)(iter(messages), **options)
            ]


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(address, options=client_options()) as channel:
        yield Client(channel)


@pytest.fixture
def connect() -> Callable[[str], AbstractAsyncContextManager[Client]]:
    return client_of


@pytest.fixture
def balance() -> Any:
    """Starts a balancer in front of backends, entered when all of them are eligible."""

    @asynccontextmanager
    async def run(*backends: ScriptedBackend, **settings: Any) -> AsyncIterator[RunningBalancer]:
        addresses = ",".join(backend.address for backend in backends)
        defaults = {"listen": "127.0.0.1:0", "backends": addresses, "drain_s": 1.0}
        chosen = load_settings(**defaults | settings)
        async with serving(chosen) as running:
            await until(
                lambda: (
                    sum(each.eligible_since_s is not None for each in running.pool.upstreams)
                    >= len(backends)
                )
            )
            yield running

    return run


@pytest.fixture
async def balancer(balance: Any, backend: ScriptedBackend) -> AsyncIterator[RunningBalancer]:
    """A balancer in front of one backend."""
    async with balance(backend) as running:
        yield running


@pytest.fixture
async def client(balancer: RunningBalancer) -> AsyncIterator[Client]:
    async with client_of(balancer.address) as client:
        yield client


class Refusal:
    """The status of a failed call, unpacked."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.trailing = dict(error.trailing_metadata() or ())
        status = rpc_status.from_call(error)
        self._packed = list(status.details) if status is not None else []
        self.reason = self.detail(error_details_pb2.ErrorInfo).reason
        self.retry_s = self.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() / 1000

    def detail(self, kind: Any) -> Any:
        """The detail of this kind, empty if there is none."""
        found = kind()
        for packed in self._packed:
            packed.Unpack(found)
        return found


@pytest.fixture
def refused() -> Callable[[Awaitable[Any]], Awaitable[Refusal]]:
    """How a call failed; the test fails if it did not."""

    async def run(call: Awaitable[Any]) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return Refusal(caught.value)

    return run


async def until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait until a condition holds; TimeoutError when it never does."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


@pytest.fixture
def settled() -> Callable[..., Awaitable[None]]:
    return until


class Started:
    """A process of ours, and where it listens."""

    def __init__(self, process: Process, address: str) -> None:
        self.process = process
        self.address = address
        self.port = int(address.rpartition(":")[2])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Exit code and standard error."""
        async with asyncio.timeout(60):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@pytest.fixture
def launch() -> Any:
    """Starts a process that announces where it listens; killed if the test leaves it running."""

    @asynccontextmanager
    async def run(program: str, *flags: str) -> AsyncIterator[Started]:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / program,
            *flags,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(60):
                line = (await process.stdout.readline()).decode()
            match = re.search(r"listening on (\S+)", line)
            assert match is not None, line
            yield Started(process, match[1])
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return run


@pytest.fixture
def launch_server(launch: Any) -> Any:
    """Starts a model server of tones."""

    def run(*flags: str, port: int = 0) -> AbstractAsyncContextManager[Started]:
        listen = f"127.0.0.1:{port}"
        tones = ("--engine", "tone", "--max-utilisation", "0")  # however busy the machine is
        return launch("chatterbox-server", *tones, "--listen", listen, *flags)

    return run


@pytest.fixture
def launch_balancer(launch: Any) -> Any:
    """Starts a balancer in front of some addresses."""

    def run(*backends: str, port: int = 0, flags: Any = ()) -> Any:
        listen = f"127.0.0.1:{port}"
        return launch(
            "chatterbox-balancer", "--listen", listen, "--backends", ",".join(backends), *flags
        )

    return run
