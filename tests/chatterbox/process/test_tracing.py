"""Traces: passed on without a collector, recorded with one, and never a reason to fail."""

import subprocess
import sys
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from chatterbox.process.tracing import Span, collector_address, trace_id_of, tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
RECEIVED = (("traceparent", TRACEPARENT), ("x-request-id", "me"), ("key-bin", b"1"))


async def test_without_a_collector_the_callers_trace_is_passed_on() -> None:
    async with tracing(None, service="test") as tracer:
        span = tracer.serve("a.B/C", RECEIVED, request_id="me")
        attempt = span.attempt("a.B/C", "127.0.0.1:1")
    assert (span.trace_id, attempt.trace_id) == (TRACE, TRACE)
    assert attempt.passed_on(RECEIVED) == RECEIVED


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        b"00-bytes",
    ],
)
async def test_what_is_no_trace_is_none(value: Any, collector: Any) -> None:
    assert trace_id_of([("traceparent", value)]) == ""
    async with tracing(collector.endpoint, service="test") as tracer:
        span = tracer.serve("a.B/C", [("traceparent", value)], request_id="me")
    assert span.trace_id not in ("", TRACE)


async def test_a_span_has_its_parent_its_call_and_its_figures(collector: Any) -> None:
    async with tracing(collector.endpoint, service="recorded") as tracer:
        span = tracer.serve("a.B/C", RECEIVED, request_id="me")
        attempt = span.attempt("a.B/C", "10.0.0.1:50051", retry=1)
        passed = dict(attempt.passed_on(RECEIVED))
        attempt.end("UNAVAILABLE")
        span.note(voice="ada", audio_s=2.5, reason=None)
        span.happened("first audio")
        span.end("NOT_FOUND")
        span.end("OK")  # too late
    found = [each for each in collector.spans if each.service == "recorded"]
    inner, outer = found

    assert (outer.trace_id, outer.parent_id, outer.kind) == (TRACE, PARENT, 2)
    assert (inner.trace_id, inner.parent_id, inner.kind) == (TRACE, outer.span_id, 3)
    assert outer.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "a.B/C",
        "rpc.response.status_code": "NOT_FOUND",
        "chatterbox.request_id": "me",
        "chatterbox.voice": "ada",
        "chatterbox.audio_s": 2.5,
    }
    assert outer.events == ("first audio",)
    assert inner.attributes["server.address"] == "10.0.0.1"
    assert inner.attributes["server.port"] == 50051
    assert inner.attributes["chatterbox.retry"] == 1
    # Not to be found is the caller's doing; an unavailable server is not.
    assert (outer.is_error, inner.is_error) == (False, True)

    assert passed["traceparent"] == f"00-{TRACE}-{inner.span_id}-01"
    assert (passed["x-request-id"], passed["key-bin"]) == ("me", b"1")


async def test_what_a_caller_does_not_sample_is_not_recorded(collector: Any) -> None:
    received = (("traceparent", TRACEPARENT[:-1] + "0"),)
    async with tracing(collector.endpoint, service="unsampled") as tracer:
        span = tracer.serve("a.B/C", received, request_id="me")
        passed = dict(span.passed_on(received))
        span.end("OK")
    assert "unsampled" not in [each.service for each in collector.spans]
    assert passed["traceparent"].endswith("-00")
    assert span.trace_id == TRACE


async def test_a_collector_that_is_away_holds_nobody_up() -> None:
    async with tracing("http://127.0.0.1:1", service="test") as tracer:
        tracer.serve("a.B/C", (), request_id="me").end("OK")


@pytest.mark.parametrize(
    "endpoint", ["localhost:4317", "ftp://localhost", "http://", "http://h:port", "http://h/v1"]
)
async def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="--otlp-endpoint"):
        async with tracing(endpoint, service="test"):
            pass


def test_an_endpoint_has_its_usual_port() -> None:
    assert collector_address("https://collector.example") == ("collector.example", 4317, True)
    assert collector_address("http://[::1]:9") == ("::1", 9, False)


def test_a_span_nobody_records_takes_everything() -> None:
    span = Span()
    span.note(a=1)
    span.happened("b")
    span.end("OK")
    assert span.passed_on(()) == ()


WITHOUT = """
import asyncio, sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from chatterbox.errors import ConfigError
from chatterbox.process.tracing import tracing
import balancer.app, server.app
async def main():
    async with tracing(None, service="x"):
        pass
    try:
        async with tracing("http://localhost:4317", service="x"):
            pass
    except ConfigError as error:
        print(error.message)
asyncio.run(main())
"""


def test_what_traces_need_is_needed_only_for_traces() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert "chatterbox-service[tracing]" in done.stdout, done.stderr
