"""The Prometheus endpoint of a process, and the buckets its histograms share."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from chatterbox.errors import ConfigError

# Seconds: from a local cache hit to a request someone gave up on.
LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
# Statuses for which the service is to blame, and not the caller.
FAILURES = frozenset(
    ["UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]
)
RATIO_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 4.0)


@contextmanager
def metrics_endpoint(
    registry: CollectorRegistry, *, port: int | None, host: str
) -> Iterator[int | None]:
    """Serve `/metrics` over HTTP meanwhile; yields the port (0 lets the system choose).

    With `port` None nothing is served. Raises ConfigError when the port is taken.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
