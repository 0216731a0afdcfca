"""The spans of a forwarded call: one of the call, one of each attempt."""

from typing import Any

import grpc

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
METADATA = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "retried"))


async def test_each_attempt_is_a_span_that_its_backend_goes_on_from(
    balance: Any, backend: Any, other: Any, connect: Any, collector: Any
) -> None:
    async def unavailable(context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    backend.script = unavailable
    async with (
        balance(backend, other, slow_start_s=0, otlp_endpoint=collector.endpoint) as balancer,
        connect(balancer.address) as client,
    ):
        while not backend.calls:
            await client.send(b"a", metadata=METADATA)
    spans = [
        each
        for each in collector.spans
        if each.attributes.get("chatterbox.request_id") == "retried"
    ]
    first = next(each for each in spans if each.is_error)
    (call,) = (each for each in spans if each.span_id == first.parent_id)
    attempts = [each for each in spans if each.parent_id == call.span_id]

    assert (call.trace_id, call.parent_id) == (TRACE, PARENT)
    assert call.attributes["rpc.response.status_code"] == "OK"
    assert call.attributes["chatterbox.retries"] == 1
    assert call.attributes["chatterbox.backend"] == other.address
    assert [each.attributes["rpc.response.status_code"] for each in attempts] == [
        "UNAVAILABLE",
        "OK",
    ]
    assert [each.attributes["chatterbox.retry"] for each in attempts] == [0, 1]
    assert [f"127.0.0.1:{each.attributes['server.port']}" for each in attempts] == [
        backend.address,
        other.address,
    ]
    for asked, attempt in ((backend, attempts[0]), (other, attempts[1])):
        assert asked.metadata[-1]["traceparent"] == f"00-{TRACE}-{attempt.span_id}-01"


async def test_a_caller_who_leaves_ends_the_spans(
    balance: Any, backend: Any, connect: Any, collector: Any
) -> None:
    async with (
        balance(backend, otlp_endpoint=collector.endpoint) as balancer,
        connect(balancer.address) as client,
    ):
        call = client.call("/test.Service/Left")
        await call.write(b"a")
        await call.read()
        call.cancel()
    left = [each for each in collector.spans if each.name == "test.Service/Left"]
    assert {each.kind for each in left} == {2, 3}
    assert {each.attributes["rpc.response.status_code"] for each in left} == {"CANCELLED"}


async def test_without_a_collector_the_trace_goes_through(
    balance: Any, backend: Any, connect: Any
) -> None:
    async with balance(backend) as balancer, connect(balancer.address) as client:
        await client.send(b"a", metadata=METADATA)
    assert backend.metadata[-1]["traceparent"] == METADATA[0][1]
