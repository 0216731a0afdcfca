"""What operators see of a call: one log line, its metrics."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from chatterbox.process.logs import configure_logs
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

SAY = "chatterbox.v1.TextToSpeechService/Synthesize"


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


async def test_a_call_is_one_line_with_its_figures(logs: io.StringIO, client: Any) -> None:
    call = client.stub.Synthesize(
        client.request("Hello there."), metadata=(("x-request-id", "me"),), timeout=10
    )
    summary = [answer async for answer in call][-1].summary

    (line,) = calls(logs)
    assert (line["method"], line["code"], line["request_id"]) == (SAY, "OK", "me")
    assert line["characters"] == len("Hello there.")
    assert line["audio_s"] == pytest.approx(summary.audio_duration.ToTimedelta().total_seconds())
    assert line["underrun_s"] == 0.0
    assert line["rtf"] == pytest.approx(summary.real_time_factor, abs=1e-3)
    assert 0 < line["ttfa_s"] <= line["duration_s"]
    assert line["deadline_s"] == pytest.approx(10, abs=1)  # gRPC rounds it on the way


async def test_a_refused_call_is_one_line_with_its_reason(
    logs: io.StringIO, client: Any, settled: Any
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await client.say("")
    await settled(lambda: len(calls(logs)) == 1)

    (line,) = calls(logs)
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "NOTHING_TO_SPEAK")
    assert "audio_s" not in line


async def test_a_call_that_was_left_is_one_line(
    logs: io.StringIO, start: Any, settled: Any
) -> None:
    async with start(pace=0.01) as running, grpc.aio.insecure_channel(running.address) as channel:
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello there. " * 50))
        call = TextToSpeechServiceStub(channel).Synthesize(request)
        while not (await call.read()).HasField("audio"):
            pass
        call.cancel()
        await settled(lambda: len(calls(logs)) == 1)

    (line,) = calls(logs)
    assert line["code"] == "CANCELLED"
    assert line["audio_s"] > 0


async def test_metrics_count_what_was_said(start: Any) -> None:
    async with (
        start(metrics_port=0) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = TextToSpeechServiceStub(channel)
        for text in ("Hello there.", "And again.", ""):
            request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=text))
            try:
                answers = [answer async for answer in stub.Synthesize(request)]
            except grpc.aio.AioRpcError:
                assert text == ""
            else:
                assert answers[-1].HasField("summary")
        url = f"http://127.0.0.1:{running.metrics_port}/metrics"
        page = await asyncio.to_thread(urlopen, url)
        shown = page.read().decode()

    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert samples["chatterbox_calls_total", "OK", SAY] == 2
    assert samples["chatterbox_calls_total", "INVALID_ARGUMENT", SAY] == 1
    assert samples["chatterbox_time_to_first_audio_seconds_count",] == 2
    assert samples["chatterbox_real_time_factor_count",] == 2
    assert samples["chatterbox_underrun_seconds_count",] == 2
    assert samples["chatterbox_underruns_total",] == 0
    assert samples["chatterbox_characters_total",] == len("Hello there.And again.")
    assert samples["chatterbox_audio_seconds_total",] > 1
    assert samples["chatterbox_streams_active",] == 0
    assert samples["chatterbox_utterances_active",] == 0


async def test_health_checks_are_not_calls(logs: io.StringIO, channel: grpc.aio.Channel) -> None:
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert calls(logs) == []
