"""The balancer as a process: what it prints, how it stops, dies, fails to start."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse.ServingStatus
BALANCER = Path(sys.executable).parent / "chatterbox-balancer"


async def failure(*flags: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(BALANCER, *flags, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--max-queue", "many"], "--max-queue"),
        (["--backends", "nowhere"], "nowhere"),
        (["--backends", "file:/no/such/file"], "/no/such/file"),
        (["--backends", "dns:nothing"], "dns:NAME:PORT"),
    ],
)
async def test_what_is_wrong_is_one_line_and_exit_code_2(flags: list[str], word: str) -> None:
    code, errors = await failure("--listen", "127.0.0.1:0", *flags)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert word in errors


async def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, errors = await failure("--listen", address)
    assert code == 2
    assert f"cannot listen on {address}" in errors.splitlines()[-1]


async def test_a_balancer_that_is_stopped_finishes_what_runs(
    backend: Any, launch_balancer: Any, connect: Any, refused: Any
) -> None:
    async with launch_balancer(backend.address) as balancer, connect(balancer.address) as client:
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == Status.SERVING
        call = client.call()
        await call.write(b"hello")
        assert await call.read() == b"hello"

        balancer.send(signal.SIGTERM)
        assert (await watch.read()).status == Status.NOT_SERVING
        refusal = await refused(client.send(b"too late"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED")

        await call.write(b"and goodbye")
        assert await call.read() == b"and goodbye"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        code, errors = await balancer.ended()
        assert code == 0
        assert "Traceback" not in errors


async def test_a_lame_duck_says_so_and_still_takes_calls(
    backend: Any, launch_balancer: Any, connect: Any
) -> None:
    flags = ("--lame-duck-s", "1")
    async with (
        launch_balancer(backend.address, flags=flags) as balancer,
        connect(balancer.address) as client,
    ):
        watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        balancer.send(signal.SIGTERM)
        assert (await watch.read()).status == Status.NOT_SERVING
        assert await client.send(b"just in time") == [b"just in time"]
        assert (await balancer.ended())[0] == 0


async def test_a_killed_balancer_is_told_at_once_and_its_successor_serves(
    backend: Any, launch_balancer: Any, connect: Any, refused: Any, settled: Any
) -> None:
    async with launch_balancer(backend.address) as balancer, connect(balancer.address) as client:
        call = client.call()
        await call.write(b"hello")
        await call.read()
        balancer.send(signal.SIGKILL)
        async with asyncio.timeout(20):
            refusal = await refused(call.read())
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        await settled(lambda: backend.active == 0)

        async with launch_balancer(backend.address, port=balancer.port):
            # The client's own channel finds it, and so does its first call.
            answer = client.send(b"hello again", wait_for_ready=True, timeout=10)
            assert await answer == [b"hello again"]


async def test_its_health_is_that_of_its_backends(backend: Any, balancer: Any, client: Any) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "chatterbox.v1.TextToSpeechService", "some.new.Service"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert (await stub.Check(request)).status == Status.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="some.new.Service"))
    assert (await watch.read()).status == Status.SERVING
    await backend.say(serving=False)
    assert (await watch.read()).status == Status.NOT_SERVING
    await backend.say(serving=True)
    assert (await watch.read()).status == Status.SERVING


async def test_a_balancer_without_backends_starts_and_waits_for_one(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any, tmp_path: Path
) -> None:
    file = tmp_path / "backends"
    file.write_text("# none yet\n")
    async with (
        balance(backends=f"file:{file}", discovery_s=0.05) as balancer,
        connect(balancer.address) as client,
    ):
        assert (await refused(client.send(b"a"))).reason == "NO_BACKEND"
        file.write_text(backend.address)
        await settled(lambda: balancer.pool.is_serving)
        assert await client.send(b"a") == [b"a"]
