"""What passes through: bytes, metadata, deadlines, cancellation and statuses, both ways."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from balancer.call import MALFORMED

ANYTHING = bytes(range(256)) * 40


async def test_bytes_pass_as_they_come_both_ways(client: Any) -> None:
    messages = [b"", b"\x00", ANYTHING, b"not a protobuf"]
    assert await client.send(*messages) == messages


async def test_a_method_nobody_has_heard_of_is_forwarded(client: Any, backend: Any) -> None:
    await client.send(b"?", method="/some.new.v9.Service/DoTheThing")
    assert backend.calls == ["/some.new.v9.Service/DoTheThing"]


@pytest.mark.parametrize(
    "method",
    [
        "/chatterbox.worker.v1.WorkerService/WatchLoad",
        "/grpc.health.v1.Health/NoMethod",
        "/grpc.health.v2.Health/Check",
    ],
)
async def test_what_is_between_the_parts_is_no_clients_business(
    client: Any, backend: Any, refused: Any, method: str
) -> None:
    refusal = await refused(client.send(b"", method=method))
    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED
    assert backend.calls == []


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_every_kind_of_method_passes(client: Any, backend: Any, kind: str) -> None:
    async def answer(context: Any) -> None:
        received = 0
        while await context.read() is not grpc.aio.EOF:
            received += 1
        for _ in range(3 if kind.endswith("stream") else 1):
            await context.write(b"%d received" % received)

    backend.script = answer
    method = getattr(client.channel, kind)("/test.Service/Method")
    count = 2 if kind.startswith("stream") else 1
    call = method(iter([b"a", b"b"]) if count == 2 else b"a")
    answers = [await call] if kind.endswith("unary") else [answer async for answer in call]
    assert answers == [b"%d received" % count] * (3 if kind.endswith("stream") else 1)


async def test_a_conversation_goes_back_and_forth(client: Any) -> None:
    call = client.call()
    for word in (b"one", b"two", b"three"):
        await call.write(word)
        assert await call.read() == word  # the answer comes before the next question
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_backend_may_speak_first(client: Any, backend: Any) -> None:
    async def greet(context: Any) -> None:
        await context.write(b"hello")
        await context.read()

    backend.script = greet
    call = client.call()
    assert await call.read() == b"hello"
    await call.done_writing()


async def test_metadata_passes_both_ways(client: Any, backend: Any) -> None:
    async def answer(context: Any) -> None:
        await context.send_initial_metadata((("x-ahead", "1"), ("ahead-bin", b"\x00\xff")))
        await context.write(b"")
        context.set_trailing_metadata((("x-behind", "2"), ("behind-bin", b"\xff\x00")))

    backend.script = answer
    sent = (("x-mine", "b"), ("x-twice", "a"), ("x-bin", b"\x01"))
    call = client.call(metadata=(*sent, ("x-request-id", "mine")))
    await call.read()
    ahead = dict(await call.initial_metadata())
    behind = dict(await call.trailing_metadata())

    seen = backend.metadata[0]
    assert {key: seen[key] for key, _ in sent} == dict(sent)
    assert seen["x-request-id"] == "mine"
    assert (ahead["x-ahead"], ahead["ahead-bin"]) == ("1", b"\x00\xff")
    assert ahead["x-served-by"] == backend.address
    assert (behind["x-behind"], behind["behind-bin"]) == ("2", b"\xff\x00")


async def test_a_call_without_an_id_is_given_one(client: Any, backend: Any) -> None:
    await client.send(b"", metadata=(("x-request-id", "no id, with spaces"),))
    assert backend.metadata[0]["x-request-id"].isalnum()


async def test_initial_metadata_waits_for_the_first_message(client: Any, backend: Any) -> None:
    go_on = asyncio.Event()

    async def answer(context: Any) -> None:
        await context.send_initial_metadata((("x-ahead", "1"),))
        await go_on.wait()
        await context.abort(grpc.StatusCode.NOT_FOUND, "none")

    backend.script = answer
    call = client.call()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(asyncio.ensure_future(call.initial_metadata()))
    go_on.set()
    assert await call.code() is grpc.StatusCode.NOT_FOUND
    assert "x-ahead" not in dict(await call.initial_metadata())


async def test_a_status_passes_with_its_details(client: Any, backend: Any, refused: Any) -> None:
    async def fail(context: Any) -> None:
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason="TOO_HOT", domain="test"))
        status = status_pb2.Status(
            code=code_pb2.INVALID_ARGUMENT, message="Zu heiß!", details=[packed]
        )
        await context.abort_with_status(rpc_status.to_status(status))

    backend.script = fail
    refusal = await refused(client.send(b""))
    assert (refusal.code, refusal.message) == (grpc.StatusCode.INVALID_ARGUMENT, "Zu heiß!")
    assert refusal.reason == "TOO_HOT"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0] != 0])
async def test_every_code_after_a_message_passes(
    client: Any, backend: Any, refused: Any, code: grpc.StatusCode
) -> None:
    async def fail(context: Any) -> None:
        await context.write(b"one")
        context.set_trailing_metadata((("x-said", "by the backend"),))
        await context.abort(code, "as the backend says")

    backend.script = fail
    call = client.call()
    assert await call.read() == b"one"
    refusal = await refused(call.read())
    assert (refusal.code, refusal.message) == (code, "as the backend says")


async def test_an_answer_that_envoy_translates_is_seen_to_break(
    client: Any, backend: Any, refused: Any
) -> None:
    async def fail(context: Any) -> None:
        await context.write(b"one")
        await context.abort(grpc.StatusCode.INTERNAL, "a bug")

    backend.script = fail
    call = client.call(metadata=(("x-envoy-original-path", "/v1/audio/speech"),))
    assert await call.read() == b"one"
    assert await call.read() == MALFORMED  # no message: the HTTP stream is reset
    assert (await refused(call.read())).code is grpc.StatusCode.INTERNAL


async def test_a_deadline_passes_and_holds(client: Any, backend: Any, refused: Any) -> None:
    remaining_s: list[float] = []

    async def wait(context: Any) -> None:
        remaining_s.append(context.time_remaining())
        await asyncio.Event().wait()

    backend.script = wait
    refusal = await refused(client.send(b"", timeout=0.5))
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < remaining_s[0] < 0.6  # gRPC rounds it on the way


async def test_a_call_without_a_deadline_has_none_behind(client: Any, backend: Any) -> None:
    remaining_s: list[float | None] = []

    async def look(context: Any) -> None:
        remaining_s.append(context.time_remaining())

    backend.script = look
    await client.send(b"")
    assert remaining_s == [None]


async def test_a_client_that_cancels_frees_the_backend(
    client: Any, backend: Any, balancer: Any, settled: Any
) -> None:
    call = client.call()
    await call.write(b"hello")
    await call.read()
    assert (backend.active, balancer.admission.active) == (1, 1)

    call.cancel()
    await settled(lambda: backend.active == 0)
    await settled(lambda: balancer.admission.active == 0)
    assert balancer.pool.upstreams[0].streams == 0


async def test_a_client_whose_connection_dies_frees_the_backend(
    balancer: Any, backend: Any, connect: Any, settled: Any
) -> None:
    async with connect(balancer.address) as client:
        call = client.call()
        await call.write(b"hello")
        await call.read()
    await settled(lambda: backend.active == 0 and balancer.admission.active == 0)


async def test_a_silent_call_is_ended_and_frees_the_backend(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any
) -> None:
    async with (
        balance(backend, idle_timeout_s=0.4) as balancer,
        connect(balancer.address) as client,
    ):
        call = client.call()
        await call.write(b"hello")
        await call.read()
        refusal = await refused(call.read())
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "SESSION_IDLE")
        await settled(lambda: backend.active == 0)


async def test_a_call_that_is_not_silent_is_not_idle(
    balance: Any, backend: Any, connect: Any
) -> None:
    async with (
        balance(backend, idle_timeout_s=0.5) as balancer,
        connect(balancer.address) as client,
    ):
        call = client.call()
        for _ in range(6):
            await call.write(b"hello")
            await call.read()
            await asyncio.sleep(0.15)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_no_call_lasts_for_ever(
    balance: Any, backend: Any, connect: Any, refused: Any, settled: Any
) -> None:
    async def chatter(context: Any) -> None:
        while True:
            await context.write(b"and another thing")
            await asyncio.sleep(0.02)

    async def listen(client: Any) -> None:
        async for _ in client.channel.stream_stream("/test.Service/Method")(iter([])):
            pass

    backend.script = chatter
    async with (
        balance(backend, max_duration_s=0.5) as balancer,
        connect(balancer.address) as client,
    ):
        refusal = await refused(listen(client))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "CALL_TOO_LONG")
        await settled(lambda: backend.active == 0)


async def test_a_backend_that_answers_early_ends_the_call(
    client: Any, backend: Any, refused: Any
) -> None:
    async def refuse(context: Any) -> None:
        await context.read()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

    async def talk() -> None:
        call = client.call()
        while True:  # the client goes on sending; only reading can tell it to stop
            await call.write(ANYTHING)

    backend.script = refuse
    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        async with asyncio.timeout(10):
            await talk()
    assert (await refused(client.send(b""))).code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_call_beyond_the_bound_is_refused(
    balance: Any, backend: Any, connect: Any, refused: Any
) -> None:
    async with balance(backend, max_calls=1) as balancer, connect(balancer.address) as client:
        first = client.call()
        await first.write(b"hello")
        await first.read()
        refusal = await refused(client.send(b"hello"))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
        )
        first.cancel()
