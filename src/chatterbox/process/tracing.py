"""Tracing: one span per call and process, under the trace of whoever calls.

Off unless there is a collector to send spans to, and then nothing of OpenTelemetry is loaded: a
span that is not recorded still knows the caller's trace and passes it on.
"""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from chatterbox.errors import ConfigError

TRACEPARENT_KEY = "traceparent"  # W3C Trace Context
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# Names of ours, the same in every process and in Envoy.
REQUEST_ID: Final = "chatterbox.request_id"

Metadata = tuple[tuple[str, str | bytes], ...]
Value = str | bool | int | float | None  # None is left out


class Span:
    """A span that nobody records."""

    def __init__(self, trace_id: str = "") -> None:
        self.trace_id = trace_id  # 32 hexadecimal digits, or "" outside of any trace

    def attempt(self, method: str, address: str, **attributes: Value) -> "Span":
        """The span of a call to another process, inside this one."""
        return Span(self.trace_id)

    def passed_on(self, metadata: Metadata) -> Metadata:
        """The metadata of a call to another process, whose parent this span is."""
        return metadata

    def note(self, **attributes: Value) -> None:
        """Add what is known now; `chatterbox.` is put before each name."""

    def happened(self, event: str, **attributes: Value) -> None:
        """Mark this moment."""

    def end(self, code: str) -> None:
        """It is over, with the gRPC status of this name. Only the first end counts."""


class Tracer:
    """Makes spans that nobody records."""

    def serve(self, method: str, received: Iterable[tuple[str, Any]], *, request_id: str) -> Span:
        """The span of a call that was received with this metadata. `method` has no leading `/`."""
        return Span(trace_id_of(received))


def trace_id_of(metadata: Iterable[tuple[str, Any]] | None) -> str:
    """The trace that the metadata of a call names, "" if it names none."""
    for key, value in metadata or ():
        if key == TRACEPARENT_KEY and isinstance(value, str):
            match = _TRACEPARENT.fullmatch(value)
            return match[1] if match else ""
    return ""


def collector_address(endpoint: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is spoken, of an OTLP endpoint such as http://localhost:4317.

    Raises ConfigError.
    """
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port or 4317
    except ValueError:
        host, port = None, 0
    if host is None or url.scheme not in ("http", "https") or url.path not in ("", "/"):
        raise ConfigError(f"--otlp-endpoint looks like http://localhost:4317, got {endpoint!r}")
    return host, port, url.scheme == "https"


@asynccontextmanager
async def tracing(endpoint: str | None, *, service: str) -> AsyncIterator[Tracer]:
    """Send spans to `endpoint` by OTLP over gRPC while the context lasts; None records none.

    Leaving sends what is left, for a few seconds at most. Raises ConfigError for an endpoint that
    is none, or when OpenTelemetry is not installed.
    """
    if endpoint is None:
        yield Tracer()
        return
    collector_address(endpoint)
    try:
        from chatterbox.process.otlp import OtlpTracer
    except ImportError:
        raise ConfigError(
            "--otlp-endpoint needs OpenTelemetry: pip install 'chatterbox-service[tracing]'"
        ) from None
    tracer = OtlpTracer(endpoint, service=service)
    try:
        yield tracer
    finally:
        await tracer.close()
