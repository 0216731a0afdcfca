"""A model server that asks who is calling."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chatterbox.errors import ConfigError
from chatterbox.process.auth import allowances, interceptor, key_ring
from chatterbox.process.auth.callers import Role
from chatterbox.process.logs import configure_logs
from chatterbox.process.resume import GO_ON, RESUME_KEY, WANTED, split
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1 import voices_service_pb2
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceStub
from chatterbox.worker.v1 import worker_service_pb2
from chatterbox.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server.cli_keys import create, revoke

TEXT = "Hello there."


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(key_ring, "LOOK_S", 0.02)
    return tmp_path / "keys.json"


@pytest.fixture
def make_key(file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Makes a key as operators do."""

    def make(**options: Any) -> str:
        capsys.readouterr()  # log lines, before there is a key among them
        create("somebody", file=file, **options)
        return capsys.readouterr().out.strip()

    return make


@pytest.fixture
async def asking(start: Any, file: Path, make_key: Any) -> AsyncIterator[Any]:
    """A server with one key."""
    make_key()
    async with start(keys=file, drain_s=1.0) as running:
        yield running


@pytest.fixture
async def channel(asking: Any) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(asking.address) as channel:
        yield channel


def bearer(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


async def say(channel: grpc.aio.Channel, text: str = TEXT, **call: Any) -> list[Any]:
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=text))
    async with asyncio.timeout(20):
        return [each async for each in TextToSpeechServiceStub(channel).Synthesize(request, **call)]


async def voices(channel: grpc.aio.Channel, **call: Any) -> Any:
    request = voices_service_pb2.ListVoicesRequest()
    return await VoicesServiceStub(channel).ListVoices(request, **call)


@pytest.fixture
def refused(refusal: Any) -> Callable[..., Any]:
    async def check(call: Any, code: grpc.StatusCode, reason: str) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        found = refusal(caught.value)
        assert (found.code, found.info.reason) == (code, reason)
        return found

    return check


async def is_valid(channel: grpc.aio.Channel, key: str) -> bool:
    try:
        await voices(channel, metadata=bearer(key))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


async def until_valid(channel: grpc.aio.Channel, key: str, *, valid: bool = True) -> None:
    async with asyncio.timeout(20):
        while await is_valid(channel, key) is not valid:  # noqa: ASYNC110  # it sets no event
            await asyncio.sleep(0.01)


async def test_a_key_lets_in_by_either_header_and_every_kind_of_call(
    channel: grpc.aio.Channel, make_key: Any
) -> None:
    key = make_key(max_streams=5, characters_per_minute=10_000)
    await until_valid(channel, key)
    assert (await say(channel, metadata=bearer(key)))[-1].HasField("summary")
    assert (await voices(channel, metadata=[("x-api-key", key)])).voices
    config = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
    piece = pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=TEXT))
    stub = TextToSpeechServiceStub(channel)
    call = stub.StreamingSynthesize(iter([config, piece]), metadata=bearer(key))
    assert [answer async for answer in call][-1].HasField("summary")


async def test_nobody_gets_in_without(channel: grpc.aio.Channel, refused: Any) -> None:
    code = grpc.StatusCode.UNAUTHENTICATED
    found = await refused(say(channel), code, "NO_CREDENTIALS")
    assert found.trailing["www-authenticate"] == "Bearer"
    assert found.trailing["x-request-id"]
    await refused(voices(channel), code, "NO_CREDENTIALS")
    await refused(voices(channel, metadata=bearer("none")), code, "INVALID_CREDENTIALS")
    wrong = "cb_aaaaaaaa_" + "a" * 52
    await refused(say(channel, metadata=bearer(wrong)), code, "INVALID_API_KEY")
    unknown = channel.unary_unary("/chatterbox.v1.NoService/NoMethod")
    await refused(unknown(b""), code, "NO_CREDENTIALS")


async def test_a_key_that_is_revoked_is_one_no_more(
    channel: grpc.aio.Channel, make_key: Any, file: Path
) -> None:
    key = make_key()
    await until_valid(channel, key)
    revoke([key], file=file)
    await until_valid(channel, key, valid=False)


async def test_health_is_told_to_anybody_but_not_watched_without_bound(
    channel: grpc.aio.Channel, make_key: Any, refused: Any
) -> None:
    key, balancer = make_key(max_streams=1), make_key(role=Role.BALANCER)
    await until_valid(channel, balancer)
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    bound = interceptor.ANYBODY.limits.max_streams
    assert bound is not None
    watches = [stub.Watch(request) for _ in range(bound)]
    for watch in watches:
        await watch.read()
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    for metadata in ([], bearer("cb_aaaaaaaa_" + "a" * 52)):
        await refused(stub.Watch(request, metadata=metadata).read(), code, "LIMIT_REACHED")
        answer = await stub.Check(request, metadata=metadata)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for each in [key] * 2 + [balancer] * (allowances.MAX_LOOKS + 1):
        watches.append(stub.Watch(request, metadata=bearer(each)))
        assert (await watches[-1].read()).status == health_pb2.HealthCheckResponse.SERVING
    assert (await say(channel, metadata=bearer(key)))[-1].HasField("summary")
    for watch in watches:
        watch.cancel()


async def test_a_health_check_without_its_message_ends_soon(
    start: Any, file: Path, make_key: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key()
    monkeypatch.setattr(interceptor, "STRANGERS_S", 0.2)
    async with (
        start(keys=file) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        for method in ("Check", "Watch"):
            call = channel.stream_stream(f"/grpc.health.v1.Health/{method}")()
            async with asyncio.timeout(20):
                await refused(call.read(), grpc.StatusCode.INVALID_ARGUMENT, "NO_MESSAGE")
            call = channel.stream_stream(f"/grpc.health.v1.Health/{method}")(iter([]))
            await refused(call.read(), grpc.StatusCode.INVALID_ARGUMENT, "NO_MESSAGE")


async def test_health_checks_without_messages_do_not_fill_the_server(
    start: Any, file: Path, make_key: Any
) -> None:
    key = make_key()
    bound = interceptor.STRANGERS_WAITING
    async with (
        start(keys=file, max_calls=bound + 20) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        check = channel.stream_unary("/grpc.health.v1.Health/Check")
        silent = [check() for _ in range(2 * bound)]
        async with asyncio.timeout(20):
            while sum(call.done() for call in silent) < bound:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert (await voices(channel, metadata=bearer(key))).voices
        for call in silent:
            call.cancel()


async def test_a_call_without_its_message_takes_one_of_the_callers_streams(
    start: Any, file: Path, make_key: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(max_streams=2)
    monkeypatch.setattr(interceptor, "CALLERS_S", 3.0)
    async with (
        start(keys=file) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        synthesize = channel.stream_stream("/chatterbox.v1.TextToSpeechService/Synthesize")
        create = channel.stream_stream("/chatterbox.v1.VoicesService/CreateVoice")
        silent = [method(metadata=bearer(key)) for method in (synthesize, create) * 2]
        reasons = []
        for call in silent:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(call.read(), 20)
            reasons.append(refusal(caught.value).info.reason)
        assert sorted(reasons) == ["LIMIT_REACHED"] * 2 + ["NO_MESSAGE"] * 2
        assert (await say(channel, metadata=bearer(key)))[-1].HasField("summary")


async def methods(channel: grpc.aio.Channel, key: str) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]), metadata=bearer(key))
    return await anext(aiter(call))


async def test_reflection_is_off_unless_it_is_switched_on(
    start: Any, file: Path, make_key: Any, refused: Any
) -> None:
    key = make_key()
    for settings, is_there in (({}, False), ({"reflection": True}, True)):
        async with (
            start(keys=file, **settings) as running,
            grpc.aio.insecure_channel(running.address) as channel,
        ):
            if is_there:
                found = await methods(channel, key)
                assert found.list_services_response.service
                code = grpc.StatusCode.UNAUTHENTICATED
                await refused(methods(channel, ""), code, "INVALID_CREDENTIALS")
            else:
                await refused(methods(channel, key), grpc.StatusCode.UNIMPLEMENTED, "")


async def test_the_load_is_for_the_balancer_and_for_admins(
    channel: grpc.aio.Channel, make_key: Any, refused: Any
) -> None:
    def load(key: str) -> Any:
        request = worker_service_pb2.WatchLoadRequest()
        return WorkerServiceStub(channel).WatchLoad(request, metadata=bearer(key)).read()

    user, admin, balancer = make_key(), make_key(role=Role.ADMIN), make_key(role=Role.BALANCER)
    await until_valid(channel, balancer)
    for key in (admin, balancer):
        assert (await load(key)).slots
    await refused(load(user), grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_streams_beyond_the_limit_are_refused_and_lists_are_not(
    start: Any, file: Path, make_key: Any, refused: Any
) -> None:
    key = make_key(max_streams=2)
    async with (
        start(keys=file, pace=0.02) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = TextToSpeechServiceStub(channel)
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=TEXT * 50))
        calls = [stub.Synthesize(request, metadata=bearer(key)) for _ in range(2)]
        for call in calls:
            await call.read()
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        found = await refused(say(channel, metadata=bearer(key)), code, "LIMIT_REACHED")
        assert found.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 1
        assert int(found.trailing["grpc-retry-pushback-ms"]) == 1_000
        assert (await voices(channel, metadata=bearer(key))).voices
        calls[0].cancel()
        async with asyncio.timeout(20):
            while running.admission.active > 1:  # noqa: ASYNC110  # it sets no event
                await asyncio.sleep(0.01)
        calls[0] = stub.Synthesize(request, metadata=bearer(key))
        assert (await calls[0].read()).HasField("started")
        for call in calls:
            call.cancel()


async def test_calls_that_only_look_are_bounded_even_without_a_limit(
    channel: grpc.aio.Channel, make_key: Any, refused: Any
) -> None:
    key, other, balancer = make_key(), make_key(), make_key(role=Role.BALANCER)
    await until_valid(channel, balancer)
    get_voice = channel.stream_unary("/chatterbox.v1.VoicesService/GetVoice")
    keys = [key, balancer] * 2 * allowances.MAX_LOOKS
    silent = [get_voice(metadata=bearer(each)) for each in keys]

    async def list_until_refused() -> None:
        async with asyncio.timeout(20):
            while True:
                await voices(channel, metadata=bearer(key))

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    await refused(list_until_refused(), code, "LIMIT_REACHED")
    for each in (other, balancer):
        assert (await voices(channel, metadata=bearer(each))).voices
    assert (await say(channel, metadata=bearer(key)))[-1].HasField("summary")
    for call in silent:
        call.cancel()
    await until_valid(channel, other)


async def test_text_beyond_the_limit_is_owed(
    channel: grpc.aio.Channel, make_key: Any, refused: Any
) -> None:
    key = make_key(characters_per_minute=60)
    await until_valid(channel, key)
    assert (await say(channel, "One more sentence. " * 10, metadata=bearer(key)))[-1]
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    found = await refused(say(channel, metadata=bearer(key)), code, "LIMIT_REACHED")
    delay_s = found.detail(error_details_pb2.RetryInfo).retry_delay.seconds
    assert 100 < delay_s <= 190 - 60 + 1
    assert (await voices(channel, metadata=bearer(key))).voices


async def test_pieces_of_a_live_session_count_as_they_come(
    channel: grpc.aio.Channel, make_key: Any, refused: Any
) -> None:
    key = make_key(characters_per_minute=20)
    await until_valid(channel, key)
    config = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
    piece = pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=TEXT))
    stub = TextToSpeechServiceStub(channel)
    call = stub.StreamingSynthesize(iter([config, piece, piece]), metadata=bearer(key))
    assert [answer async for answer in call][-1].HasField("summary")  # what has begun is spoken
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    await refused(say(channel, metadata=bearer(key)), code, "LIMIT_REACHED")


async def test_where_a_stream_stands_is_told_to_a_balancer_alone(
    start: Any, file: Path, make_key: Any, tmp_path: Path
) -> None:
    user, balancer = make_key(), make_key(role=Role.BALANCER)
    resume_key = tmp_path / "resume.key"
    resume_key.write_text("the key of this installation")
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=TEXT * 5)).SerializeToString()
    async with (
        start(keys=file, resume_key_file=resume_key) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):

        async def answers(key: str, asked: str, sent: bytes) -> list[bytes]:
            synthesize = channel.stream_stream("/chatterbox.v1.TextToSpeechService/Synthesize")
            metadata = [*bearer(key), (RESUME_KEY, asked)]
            return [each async for each in synthesize(iter([sent]), metadata=metadata)]

        plain = await answers(user, WANTED, request)
        assert [split(each) for each in plain] == [(each, None) for each in plain]
        told = [split(each)[1] for each in await answers(balancer, WANTED, request)]
        last = told[-2]
        assert last is not None
        goes_on = request + last.written
        assert len(await answers(user, GO_ON, goes_on)) == len(plain)
        assert len(await answers(balancer, GO_ON, goes_on)) == 1


async def test_no_key_is_in_the_log_and_every_caller_is(
    start: Any, file: Path, make_key: Any
) -> None:
    logs = io.StringIO()
    configure_logs(level="debug", log_format="json", stream=logs)
    key, forged = make_key(), "cb_bbbbbbbb_" + "b" * 52
    async with (
        start(keys=file) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        await say(channel, metadata=bearer(key))
        assert not await is_valid(channel, forged)
    shown = logs.getvalue()
    assert f'"caller": "{key[:11]}"' in shown
    assert '"reason": "INVALID_API_KEY"' in shown
    for secret in (key[12:], forged[12:]):
        assert secret not in shown


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_a_server_that_others_reach_must_ask(start: Any, listen: str, file: Path) -> None:
    with pytest.raises(ConfigError, match=r"--tls-client-ca .* --insecure-no-auth"):
        async with start(listen=listen):
            pass


async def test_it_need_not_ask_if_that_is_said(start: Any) -> None:
    async with (
        start(listen="0.0.0.0:0", insecure_no_auth=True) as running,
        grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel,
    ):
        assert (await voices(channel)).voices
