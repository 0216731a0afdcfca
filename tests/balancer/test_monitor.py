"""What is known of one backend: by its watch, by checks, and with either alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health import aio as health_aio

from balancer.health import Answer
from balancer.load import load_of
from balancer.monitor import Monitor
from balancer.upstream import Upstream, candidates_of
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadResponse

NO_CHANNEL: Any = None  # for what makes no calls
HEALTH_SERVICE = "chatterbox.v1.TextToSpeechService"


@asynccontextmanager
async def monitored(address: str, *, service: str = HEALTH_SERVICE) -> AsyncIterator[Upstream]:
    channel = grpc.aio.insecure_channel(address)
    upstream = Upstream(address, channel, max_streams=1)
    monitor = Monitor(upstream, service=service, changed=lambda upstream: None)
    task = asyncio.create_task(monitor.run())
    try:
        yield upstream
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await channel.close()


@pytest.fixture
def _quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancer.monitor.CHECK_S", 0.1)


class Stuck(health_aio.HealthServicer):  # type: ignore[misc]
    """Watches go on, and say nothing any more; checks are never answered."""

    is_stuck = False

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.is_stuck:
            await asyncio.Event().wait()
        return await super().Check(request, context)


@pytest.fixture
def watched_only(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A backend that answers no check, and is in no hurry to be found out."""
    monkeypatch.setattr("balancer.monitor.CHECK_S", 600.0)
    scripted.health = Stuck()
    scripted.health.is_stuck = True
    return scripted


async def test_a_watch_tells_every_change(watched_only: Any, settled: Any) -> None:
    async with watched_only.running() as backend, monitored(backend.address) as upstream:
        for serving, answer in ((True, Answer.SERVING), (False, Answer.NOT_SERVING)) * 2:
            await backend.say(serving=serving)
            await settled(lambda answer=answer: upstream.health.answer is answer)


async def test_a_watch_that_breaks_tells_that_the_backend_is_gone(
    watched_only: Any, settled: Any
) -> None:
    async with watched_only.running() as backend:
        port = int(backend.address.rpartition(":")[2])
        async with monitored(backend.address) as upstream:
            await settled(lambda: upstream.health.answer is Answer.SERVING)
            await backend.stop()
            await settled(lambda: upstream.health.answer is Answer.NONE)
            async with type(backend)().running(port):
                await settled(lambda: upstream.health.answer is Answer.SERVING)


class WithoutWatch(health_aio.HealthServicer):  # type: ignore[misc]
    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)


@pytest.mark.usefixtures("_quick_checks")
async def test_checks_alone_will_do(scripted: Any, settled: Any) -> None:
    scripted.health = WithoutWatch()
    async with scripted.running() as backend, monitored(backend.address) as upstream:
        for serving, answer in ((True, Answer.SERVING), (False, Answer.NOT_SERVING)) * 2:
            await backend.say(serving=serving)
            await settled(lambda answer=answer: upstream.health.answer is answer)


@pytest.mark.usefixtures("_quick_checks")
async def test_a_stale_watch_is_found_out_by_checks(scripted: Any, settled: Any) -> None:
    health = scripted.health = Stuck()
    async with scripted.running() as backend, monitored(backend.address) as upstream:
        await settled(lambda: upstream.health.answer is Answer.SERVING)
        health.is_stuck = True
        await settled(lambda: upstream.health.answer is Answer.NONE)
        health.is_stuck = False
        await settled(lambda: upstream.health.answer is Answer.SERVING)


async def test_a_backend_without_the_service_does_not_serve_it(backend: Any, settled: Any) -> None:
    async with monitored(backend.address, service="some.other.Service") as upstream:
        await settled(lambda: upstream.health.answer is Answer.NOT_SERVING)


async def test_the_load_is_what_was_told_last_and_goes_with_the_backend(
    scripted: Any, settled: Any
) -> None:
    scripted.load = WatchLoadResponse(slots=4, max_streams=9, models=["models/tiny"])

    def slots(upstream: Upstream) -> int:
        load = upstream.load(0.0)
        return 0 if load is None else load.slots

    async with scripted.running() as backend, monitored(backend.address) as upstream:
        await settled(lambda: slots(upstream) == 4)
        scripted.load = WatchLoadResponse(slots=5, max_streams=9, models=["models/tiny"])
        await settled(lambda: slots(upstream) == 5)
        await backend.stop()
        await settled(lambda: slots(upstream) == 0)
        assert upstream.models == {"models/tiny"}  # it may come back with them


def test_a_stale_report_is_not_believed() -> None:
    upstream = Upstream("a:1", NO_CHANNEL, max_streams=7)
    upstream.tell(load_of(WatchLoadResponse(slots=4, max_streams=2)), now_s=100.0)
    assert upstream.max_streams(102.9) == 2
    assert upstream.max_streams(103.0) == 7
    (candidate,) = candidates_of([upstream], 103.0, slow_start_s=0)
    assert candidate.capacity == 8


def test_what_a_device_was_measured_to_carry_counts_for_more_than_its_slots() -> None:
    upstream = Upstream("a:1", NO_CHANNEL, max_streams=32)
    for measured, capacity in ((0, 4), (3, 3), (20, 20), (9_000, 32)):
        message = WatchLoadResponse(slots=4, max_streams=32, real_time_streams=measured)
        upstream.tell(load_of(message), now_s=0.0)
        (candidate,) = candidates_of([upstream], 0.0, slow_start_s=0)
        assert candidate.capacity == capacity


def test_a_measure_is_not_compared_with_a_guess() -> None:
    pair = [Upstream(f"a:{port}", NO_CHANNEL, max_streams=32) for port in (1, 2)]
    for upstream, measured in zip(pair, (20, 0), strict=True):
        message = WatchLoadResponse(slots=4, max_streams=32, real_time_streams=measured)
        upstream.tell(load_of(message), now_s=0.0)
    assert [each.capacity for each in candidates_of(pair, 0.0, slow_start_s=0)] == [4, 4]


def test_nonsense_in_a_report_can_be_reckoned_with() -> None:
    message = WatchLoadResponse(slots=-3, free_slots=-1, waiting=-9, max_streams=0)
    message.queued_audio.seconds = -5
    upstream = Upstream("a:1", NO_CHANNEL, max_streams=7)
    upstream.tell(load_of(message), now_s=0.0)
    (candidate,) = candidates_of([upstream], 0.0, slow_start_s=0)
    assert (candidate.capacity, candidate.work, candidate.room) == (1, 0.0, 1)
