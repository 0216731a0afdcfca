"""grpc.health.v1 and reflection: what others see of the server."""

import asyncio
import socket
import threading
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chatterbox.engine.device import Device
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.protocol import EngineState
from chatterbox.engine.tone import ToneDevice
from chatterbox.errors import CheckpointError
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.app import SERVICES, serving
from server.settings import load_settings

Status = health_pb2.HealthCheckResponse.ServingStatus


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    return (await stub.Check(request, timeout=5, wait_for_ready=True)).status


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_every_service_is_serving_when_the_server_is_ready(
    channel: grpc.aio.Channel, service: str
) -> None:
    assert await health_of(channel, service) == Status.SERVING


async def test_a_service_that_is_not_here_is_not_found(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_of(channel, "chatterbox.v1.SingingService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


class SlowToWarm(ToneDevice):
    """A device that is loading until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.may_open = threading.Event()

    def open(self) -> None:
        assert self.may_open.wait(20)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_nothing_is_serving_before_the_models_are_warm(refusal: Any) -> None:
    device = SlowToWarm()
    address = free_address()
    ready, leave = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        settings = load_settings(listen=address, engine="tone")
        async with serving(settings, engine=DeviceEngine(device)):
            ready.set()
            await leave.wait()

    task = asyncio.create_task(serve())
    async with grpc.aio.insecure_channel(address) as channel:
        for service in ("", *SERVICES):
            assert await health_of(channel, service) == Status.NOT_SERVING
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(TextToSpeechServiceStub(channel).Synthesize(request)))
        assert refusal(caught.value).code is grpc.StatusCode.UNAVAILABLE

        device.may_open.set()
        async with asyncio.timeout(10):
            await ready.wait()
        for service in ("", *SERVICES):
            assert await health_of(channel, service) == Status.SERVING
    leave.set()
    await task


class WithoutWeights(ToneDevice):
    """A device that cannot load."""

    def open(self) -> None:
        raise CheckpointError("weights.safetensors is not there")


async def test_a_server_whose_models_cannot_load_does_not_start() -> None:
    settings = load_settings(listen="127.0.0.1:0", engine="tone")
    with pytest.raises(CheckpointError, match="is not there"):
        async with serving(settings, engine=DeviceEngine(WithoutWeights())):
            raise AssertionError("it should not get here")


class Burning(ToneDevice):
    """A device that fails at every step."""

    def draw(self, plan: Any) -> Any:
        raise RuntimeError("smoke")


async def test_health_follows_a_device_that_fails(settled: Any) -> None:
    device: Device = Burning()
    engine = DeviceEngine(device)
    settings = load_settings(listen="127.0.0.1:0", engine="tone")
    async with (
        serving(settings, engine=engine) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
        while engine.state is EngineState.READY:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in TextToSpeechServiceStub(channel).Synthesize(request):
                    pass
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        async with asyncio.timeout(20):
            while await health_of(channel) == Status.SERVING:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_watchers_are_told_when_the_server_stops(start: Any) -> None:
    async with asyncio.timeout(10):
        async with start() as running:
            channel = grpc.aio.insecure_channel(running.address)
            request = health_pb2.HealthCheckRequest(service=SERVICES[0])
            watch = health_pb2_grpc.HealthStub(channel).Watch(request)
            assert (await watch.read()).status == Status.SERVING
        assert (await watch.read()).status == Status.NOT_SERVING
        await channel.close()


async def test_reflection_lists_every_service(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]

    names = {service.name for service in answers[0].list_services_response.service}
    assert {*SERVICES, "grpc.health.v1.Health"} <= names


async def test_reflection_describes_the_contract(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICES[0])
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]

    files = answers[0].file_descriptor_response.file_descriptor_proto
    assert any(b"StreamingSynthesize" in file for file in files)
