"""The stack in this process: without Envoy, and stopped before it is up."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.stack import app
from server.stack.app import standing
from server.stack.settings import StackSettings, load_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in StackSettings.model_fields:
        monkeypatch.delenv(f"CHATTERBOX_UP_{name.upper()}", raising=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def settings() -> StackSettings:
    return load_settings(
        listen="127.0.0.1:0",
        balancer_listen="127.0.0.1:0",
        server_listen="127.0.0.1:0",
        servers=1,
        server_flags="--engine tone",
        drain_s=2.0,
    )


async def test_without_an_envoy_grpc_is_served_alone(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "envoy_path", lambda: None)
    async with standing(settings, write=lambda *_: None, stop=asyncio.Event()) as stack:
        assert stack.plan.edge is None
        assert [child.name for child in stack.children] == ["balancer", "server-0"]
        async with aio.insecure_channel(stack.plan.balancer) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest()
            )
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert [child.pid for child in stack.children] == [None, None]


async def test_a_stack_that_is_coming_up_can_be_stopped(settings: StackSettings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    async with asyncio.timeout(20), standing(settings, write=lambda *_: None, stop=stop) as stack:
        assert stop.is_set()
    assert {child.pid for child in stack.children} == {None}
