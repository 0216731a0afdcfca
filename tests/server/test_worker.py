"""WatchLoad: what a model server tells those who choose between servers."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

import chatterbox
from chatterbox.v1 import synthesis_pb2
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from chatterbox.worker.v1 import worker_service_pb2 as pb
from chatterbox.worker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server.worker import WorkerService

LONG = "This sentence is one of many in a long text that takes a while to speak. " * 20


@pytest.fixture
async def load(channel: grpc.aio.Channel) -> AsyncIterator[Any]:
    call: Any = WorkerServiceStub(channel).WatchLoad(pb.WatchLoadRequest())
    yield call
    call.cancel()


async def until(load: Any, condition: Any) -> pb.WatchLoadResponse:
    async with asyncio.timeout(10):
        while not condition(told := await load.read()):
            pass
    return told


async def test_an_idle_server_tells_what_it_has_at_once(load: Any) -> None:
    told = await load.read()
    assert (told.slots, told.free_slots, told.max_streams) == (8, 8, 32)
    assert (told.open_utterances, told.waiting, told.active_streams) == (0, 0, 0)
    assert list(told.models) == ["models/tone"]
    assert told.version == chatterbox.__version__
    assert not told.draining


async def test_an_idle_server_goes_on_telling(load: Any) -> None:
    async with asyncio.timeout(10):
        assert await load.read() == await load.read()


async def test_a_call_that_speaks_is_told_and_its_end_too(start: Any) -> None:
    async with (
        start(pace=0.01, slots=1) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        load = WorkerServiceStub(channel).WatchLoad(pb.WatchLoadRequest())
        request = synthesis_pb2.SynthesizeRequest(input=synthesis_pb2.SynthesisInput(text=LONG))
        calls = [TextToSpeechServiceStub(channel).Synthesize(request) for _ in range(2)]
        busy = await until(load, lambda told: told.active_streams == 2 and told.waiting)
        assert busy.free_slots == 0
        assert busy.open_utterances >= busy.waiting + busy.slots
        assert busy.queued_audio.seconds > 10

        for call in calls:
            call.cancel()
        idle = await until(load, lambda told: told.open_utterances == 0)
        assert (idle.active_streams, idle.free_slots) == (0, 1)
        load.cancel()


async def test_a_server_that_drains_says_so(start: Any) -> None:
    async with start(pace=0.01, drain_s=5) as running:
        channel = grpc.aio.insecure_channel(running.address)
        request = synthesis_pb2.SynthesizeRequest(input=synthesis_pb2.SynthesisInput(text="Hello."))
        call = TextToSpeechServiceStub(channel).Synthesize(request)
        await call.read()
        load = WorkerServiceStub(channel).WatchLoad(pb.WatchLoadRequest())
        assert not (await load.read()).draining
        watched = asyncio.create_task(until(load, lambda told: told.draining))
    assert (await watched).draining
    await channel.close()


async def test_a_load_that_never_rests_is_told_five_times_a_second() -> None:
    counter = itertools.count()
    service = WorkerService(lambda: pb.WatchLoadResponse(open_utterances=next(counter)))
    began_s = time.monotonic()
    context: Any = None
    told = 0
    async for _ in service.WatchLoad(pb.WatchLoadRequest(), context):
        told += 1
        if told == 5:
            break
    assert time.monotonic() - began_s >= 0.79  # an upper bound of the rate: slowness cannot fail it
