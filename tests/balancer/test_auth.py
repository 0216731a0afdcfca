"""A balancer that asks who is calling, in front of backends that need not."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.errors import ConfigError
from chatterbox.process.auth import key_ring
from chatterbox.process.auth.allowances import MAX_LOOKS
from chatterbox.process.auth.callers import Role
from chatterbox.v1 import admin_service_pb2 as admin
from chatterbox.v1 import openai_service_pb2, synthesis_pb2
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub
from server.cli_keys import create

SPEECH = "/chatterbox.v1.TextToSpeechService/"
CREATE_SPEECH = "/chatterbox.v1.OpenAIService/CreateSpeech"


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
def asking(
    balance: Any, backend: Any, connect: Any, file: Path
) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """A client of a balancer that asks for the keys of the file, in front of one backend."""

    @asynccontextmanager
    async def run(**settings: Any) -> Any:
        async with (
            balance(backend, keys=file, **settings) as balancer,
            connect(balancer.address) as client,
        ):
            yield client

    return run


def bearer(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


async def test_a_key_opens_every_method_and_goes_no_further(
    asking: Any, backend: Any, make_key: Any
) -> None:
    key = make_key()
    async with asking() as client:
        metadata = [*bearer(key), ("x-api-key", "another"), ("x-mine", "1")]
        assert await client.send(b"a", b"b", metadata=metadata) == [b"a", b"b"]
    (received,) = backend.metadata
    assert received["x-mine"] == "1"
    assert not {"authorization", "x-api-key"} & set(received)
    assert key not in str(received)


async def test_nobody_gets_in_without_and_no_backend_hears_of_it(
    asking: Any, backend: Any, make_key: Any, refused: Any
) -> None:
    make_key()
    async with asking() as client:
        for metadata in ([], bearer("none"), bearer("cb_aaaaaaaa_" + "a" * 52)):
            refusal = await refused(client.send(b"a", metadata=metadata))
            assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
            assert refusal.trailing["x-request-id"]
        stub = health_pb2_grpc.HealthStub(client.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for method in (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/any.Thing/At",
            "/grpc.health.v1.Health/NoMethod",
            "/grpc.health.v2.Health/Check",
        ):
            refusal = await refused(client.send(b"a", method=method))
            assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert backend.calls == []


async def test_backends_are_steered_by_admins(asking: Any, make_key: Any, refused: Any) -> None:
    user, boss = make_key(), make_key(role=Role.ADMIN)
    async with asking() as client:
        stub = AdminServiceStub(client.channel)
        request = admin.ListBackendsRequest()
        assert (await stub.ListBackends(request, metadata=bearer(boss))).backends
        for metadata, code in (
            (bearer(user), grpc.StatusCode.PERMISSION_DENIED),
            ([], grpc.StatusCode.UNAUTHENTICATED),
        ):
            assert (await refused(stub.ListBackends(request, metadata=metadata))).code is code


async def test_reflection_reaches_a_backend_only_if_it_is_switched_on(
    asking: Any, backend: Any, make_key: Any, refused: Any
) -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    key = make_key()
    async with asking() as client:
        refusal = await refused(client.send(b"a", method=method, metadata=bearer(key)))
        assert refusal.code is grpc.StatusCode.UNIMPLEMENTED
    assert backend.calls == []
    async with asking(reflection=True) as client:
        assert await client.send(b"a", method=method, metadata=bearer(key)) == [b"a"]


async def test_streams_beyond_the_limit_are_refused(
    asking: Any, backend: Any, make_key: Any, refused: Any, settled: Any
) -> None:
    key, other = make_key(max_streams=1), make_key()
    async with asking() as client:
        call = client.call(SPEECH + "StreamingSynthesize", metadata=bearer(key))
        await call.write(b"")
        await call.read()
        speak = {"method": SPEECH + "Synthesize"}
        refusal = await refused(client.send(b"", metadata=bearer(key), **speak))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "LIMIT_REACHED",
        )
        assert refusal.retry_s == 1
        assert await client.send(b"", metadata=bearer(other), **speak) == [b""]
        listing = {"method": "/chatterbox.v1.VoicesService/ListVoices"}
        assert await client.send(b"", metadata=bearer(key), **listing) == [b""]
        call.cancel()
        await settled(lambda: backend.active == 0)
        assert await client.send(b"", metadata=bearer(key), **speak) == [b""]


async def test_calls_that_only_look_are_bounded_even_without_a_limit(
    asking: Any, backend: Any, make_key: Any, refused: Any, settled: Any
) -> None:
    key, other = make_key(), make_key()
    listing = {"method": "/chatterbox.v1.VoicesService/ListVoices"}
    async with asking() as client:
        silent = [client.call(**listing, metadata=bearer(key)) for _ in range(MAX_LOOKS)]
        await settled(lambda: backend.active == MAX_LOOKS)
        refusal = await refused(client.send(b"", metadata=bearer(key), **listing))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "LIMIT_REACHED",
        )
        assert await client.send(b"", metadata=bearer(other), **listing) == [b""]
        for call in silent:
            call.cancel()
        await settled(lambda: backend.active == 0)
        assert await client.send(b"", metadata=bearer(key), **listing) == [b""]


def spoken(text: str, method: str) -> bytes:
    """A message with so much text."""
    said = synthesis_pb2.SynthesisInput(text=text)
    if method == CREATE_SPEECH:
        return openai_service_pb2.CreateSpeechRequest(input=text).SerializeToString()
    if method == SPEECH + "Synthesize":
        return synthesis_pb2.SynthesizeRequest(input=said).SerializeToString()
    return synthesis_pb2.StreamingSynthesizeRequest(input=said).SerializeToString()


@pytest.mark.parametrize(
    "method", [SPEECH + "Synthesize", SPEECH + "StreamingSynthesize", CREATE_SPEECH]
)
async def test_text_beyond_the_limit_is_owed(
    asking: Any, make_key: Any, refused: Any, method: str
) -> None:
    key = make_key(characters_per_minute=60)
    async with asking() as client:
        message = spoken("x" * 100, method)
        answer = await client.send(message, method=method, metadata=bearer(key))
        assert answer == [message]  # forwarded as it came
        refusal = await refused(client.send(message, method=method, metadata=bearer(key)))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "LIMIT_REACHED",
        )
        assert 30 < refusal.retry_s <= 41
        assert await client.send(b"a", metadata=bearer(key)) == [b"a"]


async def test_limits_of_all_keys_are_those_of_each(
    asking: Any, make_key: Any, refused: Any
) -> None:
    first, second, roomy = make_key(), make_key(), make_key(characters_per_minute=1000)
    async with asking(caller_characters_per_minute=60) as client:
        method = SPEECH + "Synthesize"
        message = spoken("x" * 100, method)
        for key in (first, second, roomy, roomy):
            await client.send(message, method=method, metadata=bearer(key))
        for key in (first, second):
            refusal = await refused(client.send(message, method=method, metadata=bearer(key)))
            assert refusal.reason == "LIMIT_REACHED"


async def test_a_client_that_leaves_gives_its_stream_back(
    asking: Any, backend: Any, make_key: Any, settled: Any
) -> None:
    key = make_key(max_streams=1)
    async with asking() as client:
        for _ in range(5):
            call = client.call(SPEECH + "StreamingSynthesize", metadata=bearer(key))
            await call.write(b"")
            assert await call.read() == b""
            call.cancel()
            await settled(lambda: backend.active == 0)
            await asyncio.sleep(0.05)  # the balancer ends a moment after the backend


async def test_a_balancer_that_others_reach_must_ask(balance: Any, backend: Any) -> None:
    with pytest.raises(ConfigError, match="--keys"):
        async with balance(backend, listen="0.0.0.0:0"):
            pass


async def test_refusals_are_counted(
    balance: Any, backend: Any, connect: Any, make_key: Any, file: Path, refused: Any
) -> None:
    make_key()
    async with balance(backend, keys=file, metrics_port=0) as balancer:
        async with connect(balancer.address) as client:
            await refused(client.send(b"a"))
        page = await asyncio.to_thread(_metrics, balancer.metrics_port)
    assert 'chatterbox_balancer_access_refusals_total{reason="NO_CREDENTIALS"} 1.0' in page


def _metrics(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())
