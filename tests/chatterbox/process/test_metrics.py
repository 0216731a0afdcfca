"""The Prometheus endpoint."""

from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from chatterbox.errors import ConfigError
from chatterbox.process.metrics import metrics_endpoint


def test_metrics_are_served_while_the_context_lasts() -> None:
    registry = CollectorRegistry()
    Counter("spoken", "Things said.", registry=registry).inc(3)
    with metrics_endpoint(registry, port=0, host="127.0.0.1") as port:
        shown = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert "spoken_total 3.0" in shown
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/metrics")


def test_nothing_is_served_without_a_port() -> None:
    with metrics_endpoint(CollectorRegistry(), port=None, host="127.0.0.1") as port:
        assert port is None


def test_a_port_that_is_taken_is_told() -> None:
    with (
        metrics_endpoint(CollectorRegistry(), port=0, host="127.0.0.1") as port,
        pytest.raises(ConfigError, match=str(port)),
        metrics_endpoint(CollectorRegistry(), port=port, host="127.0.0.1"),
    ):
        raise AssertionError("two servers on one port")
