"""Spans as OpenTelemetry records them, sent to a collector by OTLP over gRPC.

Loaded only where there is a collector. Nothing of OpenTelemetry's global state is used: what is
built here ends here.
"""

import asyncio
import os
from collections.abc import Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatterbox import __version__
from chatterbox.process.tracing import (
    REQUEST_ID,
    TRACEPARENT_KEY,
    Metadata,
    Span,
    Tracer,
    Value,
    collector_address,
)

EXPORT_S = 5.0  # of one batch, and of the last one at the end
BATCH_S = 1.0
MAX_WAITING_SPANS = 4_096  # more are dropped: a collector that is away costs memory to here

# What OpenTelemetry calls an error of the serving side; the others are the caller's doing.
SERVER_ERRORS = frozenset(
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]
)
_CONTEXT = TraceContextTextMapPropagator()


class OtlpTracer(Tracer):
    """Makes spans and sends them in batches from a thread of its own."""

    def __init__(self, endpoint: str, *, service: str) -> None:
        _, _, is_secure = collector_address(endpoint)
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not is_secure, timeout=EXPORT_S)
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "chatterbox",
                "service.version": __version__,
                "service.instance.id": f"{os.uname().nodename}:{os.getpid()}",
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=MAX_WAITING_SPANS,
                schedule_delay_millis=BATCH_S * 1000,
                export_timeout_millis=EXPORT_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("chatterbox", __version__)

    def serve(self, method: str, received: Iterable[tuple[str, Any]], *, request_id: str) -> Span:
        """The span of a call that was received with this metadata."""
        carrier = {key: value for key, value in received if isinstance(value, str)}
        span = self._tracer.start_span(
            method,
            context=_CONTEXT.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={**_rpc(method), REQUEST_ID: request_id},
        )
        return RecordedSpan(self._tracer, span, request_id=request_id, errors=SERVER_ERRORS)

    async def close(self) -> None:
        """Send what is left, unless the collector is away, and end the thread."""
        await asyncio.to_thread(self._provider.force_flush, int(EXPORT_S * 1000))
        await asyncio.to_thread(self._provider.shutdown)


class RecordedSpan(Span):
    """A span of OpenTelemetry's. Belongs to one task."""

    def __init__(
        self,
        tracer: trace.Tracer,
        span: trace.Span,
        *,
        request_id: str,
        errors: frozenset[str] | None = None,
    ) -> None:
        """`errors`: the statuses that count as one; None for all but OK."""
        super().__init__(trace.format_trace_id(span.get_span_context().trace_id))
        self._tracer = tracer
        self._span = span
        self._request_id = request_id
        self._errors = errors

    def attempt(self, method: str, address: str, **attributes: Value) -> Span:
        """The span of a call to another process, inside this one."""
        host, _, port = address.rpartition(":")
        is_tcp = bool(host) and port.isdecimal()
        where: dict[str, str | int] = {"server.address": host if is_tcp else address}
        if is_tcp:
            where["server.port"] = int(port)
        span = self._tracer.start_span(
            method,
            context=trace.set_span_in_context(self._span),
            kind=SpanKind.CLIENT,
            attributes={
                **_rpc(method),
                **where,
                REQUEST_ID: self._request_id,
                **_ours(attributes),
            },
        )
        return RecordedSpan(self._tracer, span, request_id=self._request_id)

    def passed_on(self, metadata: Metadata) -> Metadata:
        """The metadata of a call to another process, whose parent this span is."""
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier, context=trace.set_span_in_context(self._span))
        own = {TRACEPARENT_KEY, *carrier}
        return (*(pair for pair in metadata if pair[0] not in own), *carrier.items())

    def note(self, **attributes: Value) -> None:
        """Add what is known now."""
        self._span.set_attributes(_ours(attributes))

    def happened(self, event: str, **attributes: Value) -> None:
        """Mark this moment."""
        self._span.add_event(event, _ours(attributes))

    def end(self, code: str) -> None:
        """It is over, with the gRPC status of this name. Only the first end counts."""
        if not self._span.is_recording():
            return
        self._span.set_attribute("rpc.response.status_code", code)
        if code in self._errors if self._errors is not None else code != "OK":
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _rpc(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method}


def _ours(attributes: dict[str, Value]) -> dict[str, str | bool | int | float]:
    return {f"chatterbox.{name}": value for name, value in attributes.items() if value is not None}
