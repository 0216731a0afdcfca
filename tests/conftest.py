"""What every test shares: GPU tests skip without a GPU, slowness is no failure, a collector of spans."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from hypothesis import HealthCheck, settings

# Timing is measured by benchmarks; a busy machine must not fail a property.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Threads sleep after a short spin (docs/experiments.md); read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Traces go where a test says, or nowhere.
for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Let no test inherit where the logs of another went."""
    loggers = (logging.getLogger(), logging.getLogger("grpc"))
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSpan:
    """A span as a collector received it. Ids are hexadecimal, "" for none."""

    service: str
    name: str
    kind: int  # of OpenTelemetry: 2 is a server's, 3 a client's
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: tuple[str, ...]
    is_error: bool


class Collector:
    """A collector of OpenTelemetry's: takes spans by OTLP over gRPC, on a loopback port."""

    def __init__(self) -> None:
        self.spans: list[FoundSpan] = []
        self.endpoint = ""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC fixes the name
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        for each in request.resource_spans:
            service = _attributes(each.resource.attributes)["service.name"]
            for scope in each.scope_spans:
                self.spans.extend(_found(span, service=service) for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def received(
        self, is_enough: Callable[[list[FoundSpan]], bool], *, timeout_s: float = 20.0
    ) -> list[FoundSpan]:
        """The spans, when they are enough; fails when they never are."""
        deadline_s = time.monotonic() + timeout_s
        while not is_enough(self.spans):
            assert time.monotonic() < deadline_s, self.spans
            time.sleep(0.05)
        return list(self.spans)


def _attributes(listed: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in listed}


def _found(span: Any, *, service: str) -> FoundSpan:
    return FoundSpan(
        service=service,
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        events=tuple(event.name for event in span.events),
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
    )


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

    found = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)
    found.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(None).wait()


@pytest.fixture(scope="session", autouse=True)
def _voices_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests and their servers keep is not kept where the user's own voices are."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Eight seconds of speech as a file, such as a caller would send."""
    return (Path(__file__).parent / "recordings" / "ada.ogg").read_bytes()


@pytest.fixture(scope="session")
def speech(recording: bytes) -> Any:
    """The same as a clip."""
    from chatterbox.audio.files import read_clip

    return read_clip(recording)
