"""A call that no backend has begun to answer goes to another; one that was begun never does."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status


async def unavailable(context: Any) -> None:
    await context.read()
    await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")


async def full(context: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="chatterbox"))
    status = status_pb2.Status(
        code=code_pb2.RESOURCE_EXHAUSTED, message="all streams are taken", details=[packed]
    )
    await context.abort_with_status(rpc_status.to_status(status))


def refusing(code: grpc.StatusCode) -> Any:
    async def refuse(context: Any) -> None:
        await context.abort(code, "no")

    return refuse


@pytest.mark.parametrize("failure", [unavailable, full])
async def test_what_one_backend_cannot_do_another_does(
    balance: Any, backend: Any, other: Any, connect: Any, failure: Any
) -> None:
    backend.script = failure
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        for _ in range(10):
            assert await client.send(b"a", b"b", b"c") == [b"a", b"b", b"c"]
    assert len(other.calls) == 10


async def test_messages_are_sent_again_in_a_conversation(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    answered = asyncio.Event()

    async def dies_late(context: Any) -> None:
        for _ in range(3):
            await context.read()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    async def listens(context: Any) -> None:
        heard = [await context.read() for _ in range(4)]
        await context.write(b"".join(heard))
        answered.set()

    backend.script, other.script = dies_late, listens
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        balancer.pool.drain(balancer.pool.upstreams[0], drained=False)
        for _ in range(6):  # both backends come first now and then
            call = client.call()
            for message in (b"1", b"2", b"3"):
                await call.write(message)
            await call.write(b"4")
            assert await call.read() == b"1234"
            call.cancel()
    assert backend.calls


async def test_two_retries_are_enough(
    balance: Any, backend: Any, other: Any, connect: Any, refused: Any
) -> None:
    backend.script = other.script = unavailable
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        refusal = await refused(client.send(b"a"))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert len(backend.calls) + len(other.calls) == 3
    assert backend.calls
    assert other.calls


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
    ],
)
async def test_other_failures_are_the_answer(
    client: Any, backend: Any, refused: Any, code: grpc.StatusCode
) -> None:
    backend.script = refusing(code)
    refusal = await refused(client.send(b"a"))
    assert (refusal.code, refusal.message) == (code, "no")
    assert len(backend.calls) == 1


async def test_an_answer_that_was_begun_is_never_begun_again(
    balance: Any, backend: Any, other: Any, connect: Any, refused: Any
) -> None:
    async def stumble(context: Any) -> None:
        await context.write(b"begun")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    backend.script = other.script = stumble
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        call = client.call()
        assert await call.read() == b"begun"
        assert (await refused(call.read())).code is grpc.StatusCode.UNAVAILABLE
    assert len(backend.calls) + len(other.calls) == 1


async def test_more_than_can_be_kept_is_sent_once(
    balance: Any, backend: Any, other: Any, connect: Any, refused: Any
) -> None:
    async def reads_then_fails(context: Any) -> None:
        for _ in range(3):
            await context.read()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    backend.script = other.script = reads_then_fails
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        refusal = await refused(client.send(*[b"x" * 40_000] * 3))
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert len(backend.calls) + len(other.calls) == 1


async def test_a_backend_can_forbid_it(
    balance: Any, backend: Any, other: Any, connect: Any, refused: Any
) -> None:
    async def forbids(context: Any) -> None:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "and do not come back")

    backend.script = other.script = forbids
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        assert (await refused(client.send(b"a"))).message == "and do not come back"
    assert len(backend.calls) + len(other.calls) == 1


async def test_a_backend_that_fails_call_after_call_is_left_alone(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    backend.script = unavailable
    async with balance(backend, other) as balancer, connect(balancer.address) as client:
        for _ in range(60):
            await client.send(b"a")
        assert len(backend.calls) == 3
        await backend.say(serving=False)  # as if it were restarted
        await asyncio.sleep(0.05)
        await backend.say(serving=True)
        backend.script = other.script
        await asyncio.sleep(0.05)
        for _ in range(30):
            await client.send(b"a")
        assert len(backend.calls) > 3


async def test_the_last_backend_is_never_left_alone(
    client: Any, backend: Any, refused: Any
) -> None:
    backend.script = unavailable
    for _ in range(5):
        await refused(client.send(b"a"))
    assert len(backend.calls) == 15


async def test_a_caller_that_leaves_during_a_retry_takes_nothing_with_it(
    balance: Any, backend: Any, connect: Any, settled: Any
) -> None:
    backend.script = unavailable
    async with (
        balance(backend, max_retries=4) as balancer,
        connect(balancer.address) as client,
    ):
        calls = [client.call() for _ in range(20)]
        for call in calls:
            await call.write(b"a")
        await settled(lambda: len(backend.calls) > 20)
        for call in calls:
            call.cancel()
        await settled(lambda: balancer.admission.active == 0)
        (upstream,) = balancer.pool.upstreams
        assert (upstream.calls, upstream.streams, balancer.pool.waiting) == (0, 0, 0)
