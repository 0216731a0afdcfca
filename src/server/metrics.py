"""ServerMetrics: what a model server tells Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chatterbox.process.metrics import DURATION_BUCKETS_S, LATENCY_BUCKETS_S, RATIO_BUCKETS
from server.calls import CallRecord
from server.totals import Totals

# Seconds of one stream. None at all is a bucket of its own; under 0.1 s few notice.
UNDERRUN_BUCKETS_S = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServerMetrics:
    """The figures of one server, in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.totals = Totals()
        self._calls = Counter(
            "chatterbox_calls", "Calls that have ended.", ["method", "code"], registry=registry
        )
        self._durations = Histogram(
            "chatterbox_call_duration_seconds",
            "From the start of a call to its status.",
            ["method"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._first_audio = Histogram(
            "chatterbox_time_to_first_audio_seconds",
            "From the first text to the first audio.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._real_time_factors = Histogram(
            "chatterbox_real_time_factor",
            "Synthesis time over audio time of finished streams.",
            buckets=RATIO_BUCKETS,
            registry=registry,
        )
        self._underrun_seconds = Histogram(
            "chatterbox_underrun_seconds",
            "Silence in the middle of speech, as a listener in real time heard a finished stream.",
            buckets=UNDERRUN_BUCKETS_S,
            registry=registry,
        )
        self._underruns = Counter(
            "chatterbox_underruns", "Gaps in the middle of speech.", registry=registry
        )
        self._audio = Counter(
            "chatterbox_audio_seconds", "Seconds of audio sent.", registry=registry
        )
        self._characters = Counter(
            "chatterbox_characters", "Characters of finished streams.", registry=registry
        )

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show what `read` says whenever somebody looks."""
        Gauge(f"chatterbox_{name}", meaning, registry=self._registry).set_function(read)

    def spoke(self, seconds: float) -> None:
        """Count audio that is about to be sent."""
        self._audio.inc(seconds)
        self.totals.audio_s += seconds

    def ended(self, call: CallRecord, code: str) -> None:
        """Count a call that is over."""
        self._calls.labels(call.method, code).inc()
        self._durations.labels(call.method).observe(call.duration_s)
        self.totals.ended(call, code)
        if call.time_to_first_audio_s is not None:
            self._first_audio.observe(call.time_to_first_audio_s)
        if call.real_time_factor is not None:
            self._real_time_factors.observe(call.real_time_factor)
        if call.underrun_s is not None and call.underrun_count is not None:
            self._underrun_seconds.observe(call.underrun_s)
            self._underruns.inc(call.underrun_count)
        if call.character_count is not None:
            self._characters.inc(call.character_count)
