"""What must not hurt: garbage on the port, huge messages and headers, listeners who do not listen."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.process.grpc_options import client_options

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
KIB = 1024
MIB = 1024 * KIB


def unbounded(address: str) -> grpc.aio.Channel:
    """A channel of a client that sends whatever it likes."""
    options = dict(client_options()) | {
        "grpc.max_send_message_length": -1,
        "grpc.max_metadata_size": 64 * MIB,
    }
    return grpc.aio.insecure_channel(address, options=list(options.items()))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        os.urandom(4 * KIB),
        PREFACE + os.urandom(4 * KIB),
        PREFACE + SETTINGS + b"\xff\xff\xff\x01\x04\x00\x00\x00\x01" + b"\x00" * 4 * KIB,
        PREFACE + SETTINGS + b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",
        b"",
    ],
)
async def test_garbage_on_the_port_hurts_nobody(balancer: Any, client: Any, garbage: bytes) -> None:
    host, _, port = balancer.address.rpartition(":")
    for _ in range(5):
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()
    assert await client.send(b"still there?") == [b"still there?"]


async def test_a_header_bomb_is_refused(
    balancer: Any, backend: Any, client: Any, refused: Any, settled: Any
) -> None:
    async with unbounded(balancer.address) as channel:
        for size in (20 * KIB, MIB):
            call = channel.stream_stream("/test/Method")(
                iter([b"a"]), metadata=(("x-bomb", "x" * size),)
            )
            refusal = await refused(_all(call))
            assert refusal.code in (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,  # the connection was closed over it
            )
        many = tuple((f"x-{number}", "x" * 100) for number in range(2000))
        call = channel.stream_stream("/test/Method")(iter([b"a"]), metadata=many)
        await refused(_all(call))
    await settled(lambda: backend.active == balancer.admission.active == 0)
    assert await client.send(b"still there?") == [b"still there?"]
    assert all(upstream.outlier.failures == 0 for upstream in balancer.pool.upstreams)


async def test_a_hundred_megabytes_in_one_message_are_refused(
    balancer: Any, client: Any, refused: Any
) -> None:
    async with unbounded(balancer.address) as channel:
        call = channel.stream_stream("/test/Method")(iter([b"x" * 100 * MIB]))
        refusal = await refused(_all(call))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await client.send(b"still there?") == [b"still there?"]
    assert all(upstream.outlier.failures == 0 for upstream in balancer.pool.upstreams)


async def test_the_largest_message_there_may_be_passes(client: Any) -> None:
    largest = b"x" * 4 * MIB
    assert await client.send(largest) == [largest]


async def test_bytes_that_are_no_message_are_held_against_no_model_server(
    launch_server: Any, balance: Any, connect: Any, refused: Any
) -> None:
    async with (
        launch_server() as first,
        launch_server() as second,
        balance(first, second) as balancer,
        connect(balancer.address) as client,
    ):
        for method in ("TextToSpeechService/Synthesize", "VoicesService/GetVoice") * 5:
            refusal = await refused(client.send(b"\xff\xff\xff", method=f"/chatterbox.v1.{method}"))
            assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        for upstream in balancer.pool.upstreams:
            assert (upstream.outlier.failures, upstream.outlier.ejections) == (0, 0)


class Flood:
    """A script that sends for as long as it is listened to, and counts."""

    def __init__(self) -> None:
        self.sent_bytes: list[int] = []

    async def script(self, context: Any) -> None:
        wanted = await context.read()
        number = len(self.sent_bytes)
        self.sent_bytes.append(0)
        message = b"x" * 4800
        while wanted == b"for ever" or self.sent_bytes[number] < int(wanted):
            await context.write(message)
            self.sent_bytes[number] += len(message)


async def test_listeners_who_do_not_listen_cost_little_and_hold_up_nobody(
    backend: Any, launch_balancer: Any, connect: Any, settled: Any
) -> None:
    flood = Flood()
    backend.script = flood.script
    async with launch_balancer(backend.address) as balancer, connect(balancer.address) as client:
        await client.send(b"0")
        before = _memory_bytes(balancer.process.pid)
        deaf = [client.call() for _ in range(20)]
        for call in deaf:
            await call.write(b"for ever")
        await settled(lambda: len(flood.sent_bytes) == 21 and min(flood.sent_bytes[1:]) > 0)
        sent = -1
        while sent != (sent := sum(flood.sent_bytes)):  # noqa: ASYNC110  # until they have to wait
            await asyncio.sleep(0.3)
        assert max(flood.sent_bytes) < MIB
        assert _memory_bytes(balancer.process.pid) - before < 40 * MIB

        answer = await client.send(b"%d" % (20 * MIB))  # over the same connection
        assert sum(len(message) for message in answer) >= 20 * MIB

        for call in deaf:
            call.cancel()
        await settled(lambda: backend.active == 0)


async def test_a_listener_who_has_gone_deaf_frees_the_backend(
    balance: Any, backend: Any, connect: Any, settled: Any
) -> None:
    backend.script = Flood().script
    async with (
        balance(backend, idle_timeout_s=0.5) as balancer,
        connect(balancer.address) as client,
    ):
        call = client.call()
        await call.write(b"for ever")
        await call.read()
        await settled(lambda: backend.active == 1)
        await settled(lambda: backend.active == balancer.pool.upstreams[0].streams == 0)


async def _all(call: Any) -> list[bytes]:
    async with asyncio.timeout(30):
        return [answer async for answer in call]


def _memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise AssertionError("every process has a size")
