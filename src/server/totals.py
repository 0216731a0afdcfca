"""Totals: what a server has done since it started, as those who watch it are told."""

from bisect import bisect_left
from dataclasses import dataclass, field

from chatterbox.process.metrics import FAILURES, LATENCY_BUCKETS_S
from server.calls import CallRecord

BETWEEN_OURSELVES = "chatterbox.worker."  # no client's calls


@dataclass(slots=True)
class Totals:
    """Figures that only grow. Belong to one event loop."""

    calls: int = 0
    failures: int = 0
    audio_s: float = 0.0
    underruns: int = 0
    first_audio: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    """Calls by their time to first audio: up to each of LATENCY_BUCKETS_S, and above them all."""

    def ended(self, call: CallRecord, code: str) -> None:
        """Count a call that is over; its audio has been counted as it came."""
        if call.method.startswith(BETWEEN_OURSELVES):
            return
        self.calls += 1
        self.failures += code in FAILURES
        self.underruns += call.underrun_count or 0
        if call.time_to_first_audio_s is not None:
            self.first_audio[bisect_left(LATENCY_BUCKETS_S, call.time_to_first_audio_s)] += 1
