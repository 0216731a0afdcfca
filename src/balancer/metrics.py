"""BalancerMetrics: what a balancer tells Prometheus."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chatterbox.process.metrics import DURATION_BUCKETS_S, FAILURES, LATENCY_BUCKETS_S
from chatterbox.v1.backend_pb2 import Backend

PREFIX = "chatterbox_balancer"


@dataclass(slots=True)
class Totals:
    """What a balancer has done since it started. Figures that only grow."""

    calls: int = 0
    failures: int = 0
    refused: int = 0
    retries: int = 0
    broken: int = 0
    resumes: int = 0


class BalancerMetrics:
    """The figures of one balancer, in the registry given. Labels leave with their backend."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.totals = Totals()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", meaning, labels, registry=registry)

        self._calls = counter("calls", "Calls that have ended.", "code")
        self._refused = counter("refused", "Calls for which there was no backend or no room.")
        self._picks = counter("picks", "Attempts sent to a backend.", "backend")
        self._retries = counter("retries", "Further attempts after a backend failed.", "backend")
        self._broken = counter(
            "broken_streams", "Streams that broke off, since their backend was lost."
        )
        self._lost = counter("lost_streams", "Calls lost in mid-stream with a backend.", "backend")
        self._resumes = counter("resumes", "Streams that went on elsewhere.", "backend")
        self._ejections = counter("ejections", "Times a backend was left alone.", "backend")
        self._first_message = Histogram(
            f"{PREFIX}_time_to_first_message_seconds",
            "From the start of a call to the first message of its answer.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._durations = Histogram(
            f"{PREFIX}_call_duration_seconds",
            "From the start of a call to its status.",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show what `read` says whenever somebody looks."""
        Gauge(f"{PREFIX}_{name}", meaning, registry=self._registry).set_function(read)

    def backends(self, read: Callable[[], Iterable[Backend]]) -> None:
        """Show the backends that `read` gives whenever somebody looks."""
        self._registry.register(_BackendCollector(read))

    def picked(self, address: str) -> None:
        """A call was sent to a backend."""
        self._picks.labels(address).inc()

    def retried(self, address: str) -> None:
        """A backend failed a call, which goes to another."""
        self._retries.labels(address).inc()
        self.totals.retries += 1

    def lost(self, address: str) -> None:
        """A backend vanished in the middle of its answer."""
        self._lost.labels(address).inc()

    def resumed(self, address: str) -> None:
        """A backend was lost in the middle of an answer, and another is to go on with it."""
        self._resumes.labels(address).inc()
        self.totals.resumes += 1

    def broke_off(self) -> None:
        """A client saw an answer end, since its backend was lost and no other could go on."""
        self._broken.inc()
        self.totals.broken += 1

    def ejected(self, address: str) -> None:
        """A backend is left alone for a while."""
        self._ejections.labels(address).inc()

    def refused(self) -> None:
        """A call found no backend, or no room."""
        self._refused.inc()
        self.totals.refused += 1

    def began(self, seconds: float) -> None:
        """The first message of an answer came so long after the call's start."""
        self._first_message.observe(seconds)

    def ended(self, code: str, seconds: float) -> None:
        """A call is over."""
        self._calls.labels(code).inc()
        self._durations.observe(seconds)
        self.totals.calls += 1
        self.totals.failures += code in FAILURES

    def forget(self, address: str) -> None:
        """A backend is gone; backends come and go under ever new addresses."""
        for metric in (self._picks, self._retries, self._lost, self._resumes, self._ejections):
            metric.remove_by_labels({"backend": address})


class _BackendCollector(Collector):
    """Gauges of the backends that there are when somebody looks."""

    def __init__(self, read: Callable[[], Iterable[Backend]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        backends = list(self._read())

        def gauge(name: str, meaning: str, figure: Callable[[Backend], float]) -> Metric:
            family = GaugeMetricFamily(f"{PREFIX}_backend_{name}", meaning, labels=["backend"])
            for backend in backends:
                family.add_metric([backend.address], figure(backend))
            return family

        yield gauge(
            "serving",
            "1 while it is offered calls.",
            lambda backend: backend.state == Backend.STATE_SERVING,
        )
        yield gauge("streams", "Calls that speak on it.", lambda backend: backend.active_streams)
        yield gauge("waiting", "Utterances that wait in it.", lambda backend: backend.waiting)
        yield gauge(
            "queued_audio_seconds",
            "Audio that it has yet to render.",
            lambda backend: backend.queued_audio.seconds + backend.queued_audio.nanos / 1e9,
        )
