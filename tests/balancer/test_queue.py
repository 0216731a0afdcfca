"""Full backends: calls wait, in order and within bounds, and none is forgotten."""

import asyncio
from typing import Any

import grpc
import pytest

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadResponse

SPEAK = "/chatterbox.v1.TextToSpeechService/Synthesize"


class Gate:
    """A script that holds every call until it is opened, one by one or for all."""

    def __init__(self) -> None:
        self._tickets = asyncio.Semaphore(0)

    async def script(self, context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            await self._tickets.acquire()
            await context.write(message)

    def open(self, count: int = 1) -> None:
        for _ in range(count):
            self._tickets.release()


@pytest.fixture
def gate(backend: Any) -> Gate:
    gate = Gate()
    backend.script = gate.script
    return gate


async def test_a_call_waits_for_a_place_and_gets_it(
    balance: Any, backend: Any, connect: Any, settled: Any, gate: Gate
) -> None:
    async with (
        balance(backend, backend_streams=1) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [asyncio.create_task(client.send(b"%d" % number)) for number in range(4)]
        await settled(lambda: balancer.pool.waiting == 3 and len(backend.calls) == 1)
        gate.open(4)
        assert await asyncio.gather(*calls) == [[b"%d" % number] for number in range(4)]
        assert balancer.pool.waiting == 0


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any, gate: Gate
) -> None:
    async with (
        balance(backend, backend_streams=1, max_queue=1, queue_wait_s=60) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [asyncio.create_task(client.send(b"a")) for _ in range(2)]
        await settled(lambda: balancer.pool.waiting == 1)
        refusal = await refused(client.send(b"a"))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
        )
        assert refusal.retry_s == 1.0
        assert refusal.trailing["grpc-retry-pushback-ms"] == "1000"
        gate.open(2)
        await asyncio.gather(*calls)


async def test_a_wait_that_is_too_long_is_refused(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any, gate: Gate
) -> None:
    async with (
        balance(backend, backend_streams=1, queue_wait_s=0.2) as balancer,
        connect(balancer.address) as client,
    ):
        first = asyncio.create_task(client.send(b"a"))
        await settled(lambda: backend.active == 1)
        assert (await refused(client.send(b"a"))).reason == "OVERLOADED"
        gate.open()
        await first


async def test_a_deadline_holds_in_the_queue(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any, gate: Gate
) -> None:
    async with (
        balance(backend, backend_streams=1) as balancer,
        connect(balancer.address) as client,
    ):
        first = asyncio.create_task(client.send(b"a"))
        await settled(lambda: backend.active == 1)
        refusal = await refused(client.send(b"a", timeout=0.2))
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled(lambda: balancer.pool.waiting == 0)
        gate.open()
        await first


async def test_lists_pass_full_backends(
    balance: Any, backend: Any, connect: Any, settled: Any, gate: Gate
) -> None:
    async with (
        balance(backend, backend_streams=1) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [asyncio.create_task(client.send(b"a")) for _ in range(2)]
        await settled(lambda: balancer.pool.waiting == 1)
        listing = asyncio.create_task(client.send(b"a", method="/test.Service/ListThings"))
        await settled(lambda: backend.active == 2)
        gate.open(3)
        await asyncio.gather(*calls, listing)


async def test_a_backend_that_takes_fewer_is_believed(
    balance: Any, backend: Any, connect: Any, settled: Any, gate: Gate
) -> None:
    backend.load = WatchLoadResponse(slots=1, max_streams=2)
    async with balance(backend) as balancer, connect(balancer.address) as client:
        await settled(lambda: bool(balancer.pool.upstreams[0].load(0.0)))
        calls = [asyncio.create_task(client.send(b"a")) for _ in range(5)]
        # a call that does not wait may still be on its way to the backend
        await settled(lambda: balancer.pool.waiting == 3 and backend.active == 2)
        gate.open(5)
        await asyncio.gather(*calls)


async def test_calls_of_others_count_too(
    balance: Any, backend: Any, connect: Any, settled: Any, gate: Gate
) -> None:
    backend.load = WatchLoadResponse(slots=1, max_streams=4, active_streams=4)
    async with balance(backend) as balancer, connect(balancer.address) as client:
        await settled(lambda: bool(balancer.pool.upstreams[0].load(0.0)))
        call = asyncio.create_task(client.send(b"a"))
        await settled(lambda: balancer.pool.waiting == 1)
        backend.load = WatchLoadResponse(slots=1, max_streams=4, active_streams=3)
        await settled(lambda: backend.active == 1)  # the report alone let it in
        gate.open()
        await call


async def test_two_hundred_at_once_are_each_answered_or_refused(
    balance: Any, backend: Any, other: Any, connect: Any, settled: Any
) -> None:
    busiest = 0
    outcomes: list[str] = []
    full = asyncio.Event()

    async def held(context: Any) -> None:
        nonlocal busiest
        busiest = max(busiest, backend.active, other.active)
        message = await context.read()
        await full.wait()
        await context.write(message)

    async def ask(client: Any, number: int) -> None:
        try:
            assert await client.send(b"%d" % number) == [b"%d" % number]
            outcomes.append("OK")
        except grpc.aio.AioRpcError as error:
            outcomes.append(error.code().name)

    backend.script = other.script = held
    async with (
        balance(backend, other, backend_streams=8, max_queue=64, queue_wait_s=60) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [asyncio.create_task(ask(client, number)) for number in range(200)]
        await settled(lambda: len(outcomes) == 200 - 2 * 8 - 64)
        assert set(outcomes) == {"RESOURCE_EXHAUSTED"}
        full.set()
        await asyncio.gather(*calls)
        await settled(lambda: balancer.admission.active == balancer.pool.waiting == 0)
        assert all(upstream.calls == 0 for upstream in balancer.pool.upstreams)

    assert outcomes.count("OK") == 2 * 8 + 64
    assert busiest == 8
    assert len(backend.calls) + len(other.calls) == outcomes.count("OK")


async def test_a_model_that_only_one_has_goes_there(
    balance: Any, backend: Any, other: Any, connect: Any, settled: Any, refused: Any
) -> None:
    backend.load = WatchLoadResponse(slots=1, max_streams=9, models=["models/english"])
    other.load = WatchLoadResponse(slots=1, max_streams=9, models=["models/tiny"])
    request = pb.SynthesizeRequest(voice=pb.VoiceSelection(model="models/tiny"))
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        await settled(lambda: all(each.models for each in balancer.pool.upstreams))
        for _ in range(10):
            await client.send(request.SerializeToString(), method=SPEAK)
        assert (len(backend.calls), len(other.calls)) == (0, 10)

        await other.say(serving=False)
        await settled(lambda: backend.load is not None and not _serves(balancer, other))
        refusal = await refused(client.send(request.SerializeToString(), method=SPEAK))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_BACKEND")


def _serves(balancer: Any, backend: Any) -> bool:
    return any(
        upstream.address == backend.address and upstream.eligible_since_s is not None
        for upstream in balancer.pool.upstreams
    )


async def test_calls_of_one_voice_meet(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    request = pb.SynthesizeRequest(voice=pb.VoiceSelection(name="voices/ada"))
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        for _ in range(12):
            await client.send(request.SerializeToString(), method=SPEAK)
    assert {len(backend.calls), len(other.calls)} == {0, 12}
