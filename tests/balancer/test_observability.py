"""What operators see of forwarded calls: one log line, its metrics."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatterbox.process.logs import configure_logs
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadResponse


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(log_format="json", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def calls(logs: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "call"]


async def metrics_of(balancer: Any) -> dict[tuple[str, ...], float]:
    page = await asyncio.to_thread(urlopen, f"http://127.0.0.1:{balancer.metrics_port}/metrics")
    return {
        (sample.name.removeprefix("chatterbox_balancer_"), *sorted(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(page.read().decode())
        for sample in family.samples
    }


async def test_a_call_is_one_line_with_its_figures(
    logs: io.StringIO, client: Any, backend: Any, settled: Any
) -> None:
    await client.send(b"a", b"b", timeout=10, metadata=(("x-request-id", "me"),))
    await settled(lambda: len(calls(logs)) == 1)

    (line,) = calls(logs)
    assert (line["method"], line["code"]) == ("test.Service/Method", "OK")
    assert (line["request_id"], line["backend"]) == ("me", backend.address)
    assert line["messages"] == 2
    assert 0 < line["first_message_s"] <= line["duration_s"]
    assert line["deadline_s"] == pytest.approx(10, abs=1)


async def test_a_call_that_was_left_is_one_line(
    logs: io.StringIO, client: Any, settled: Any
) -> None:
    call = client.call()
    await call.write(b"a")
    await call.read()
    call.cancel()
    await settled(lambda: len(calls(logs)) == 1)
    assert calls(logs)[0]["code"] == "CANCELLED"


async def test_a_call_that_nobody_could_take_says_why(
    logs: io.StringIO, client: Any, backend: Any, balancer: Any, refused: Any, settled: Any
) -> None:
    await backend.say(serving=False)
    await settled(lambda: not balancer.pool.is_serving)
    await refused(client.send(b"a"))
    await settled(lambda: len(calls(logs)) == 1)
    assert calls(logs)[0]["reason"] == "NO_BACKEND"


async def test_metrics_count_what_happened(
    balance: Any, backend: Any, other: Any, connect: Any, settled: Any
) -> None:
    async def unavailable(context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    backend.script = unavailable
    backend.load = WatchLoadResponse(slots=8, max_streams=9, waiting=3)
    backend.load.queued_audio.FromMilliseconds(1500)
    other.load = backend.load  # or it would be chosen every time
    async with (
        balance(backend, other, metrics_port=0, slow_start_s=0) as balancer,
        connect(balancer.address) as client,
    ):
        await settled(lambda: all(each.load(0.0) for each in balancer.pool.upstreams))
        while len(backend.calls) < 3:
            await client.send(b"a")
        held = client.call()
        await held.write(b"a")
        await held.read()
        seen = await metrics_of(balancer)
        sent = len(other.calls)
        held.cancel()

    assert seen["calls_total", "OK"] == sent - 1
    assert seen["picks_total", backend.address] == 3
    assert seen["picks_total", other.address] == sent
    assert seen["retries_total", backend.address] == 3
    assert seen["ejections_total", backend.address] == 1
    assert seen["time_to_first_message_seconds_count",] == sent - 1
    assert (seen["backend_serving", backend.address], seen["backend_serving", other.address]) == (
        0,
        1,
    )
    assert seen["backend_streams", other.address] == 1
    assert seen["backend_waiting", backend.address] == 3
    assert seen["backend_queued_audio_seconds", backend.address] == 1.5
    assert seen["calls_active",] == 1
    assert seen["queue_length",] == 0


async def test_figures_leave_with_their_backend(
    balance: Any, backend: Any, other: Any, connect: Any
) -> None:
    async with (
        balance(backend, other, metrics_port=0) as balancer,
        connect(balancer.address) as client,
    ):
        for _ in range(20):
            await client.send(b"a")
        balancer.pool.update([other.address])
        seen = await metrics_of(balancer)
    assert not [key for key in seen if backend.address in key]
    assert [key for key in seen if other.address in key]


async def test_a_stream_that_breaks_off_is_counted(
    balance: Any, scripted: Any, connect: Any
) -> None:
    async with (
        scripted.running() as backend,
        balance(backend, metrics_port=0) as balancer,
        connect(balancer.address) as client,
    ):
        call = client.call()
        await call.write(b"a")
        await call.read()
        assert (await metrics_of(balancer))["broken_streams_total",] == 0
        await backend.stop()
        with pytest.raises(grpc.aio.AioRpcError, match="was lost"):
            await call.read()
        seen = await metrics_of(balancer)
    assert seen["broken_streams_total",] == 1
    assert seen["lost_streams_total", backend.address] == 1
