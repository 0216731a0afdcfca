"""Upstream: one backend as this balancer knows it."""

from collections.abc import Sequence

import grpc

from balancer.health import Answer, Health
from balancer.load import Load
from balancer.outliers import Record
from balancer.policy import Candidate, warmth
from chatterbox.process.addresses import backend_id
from chatterbox.v1.backend_pb2 import Backend

ASSUMED_CAPACITY = 8  # of a backend that does not tell; the server's own default
UTTERANCE_AUDIO_S = 5.0  # queued audio that weighs as much as one stream
STALE_S = 3.0  # a report this old is no longer believed; one is due every second


class Upstream:
    """An address, a channel to it, what is known of it, and our calls on it.

    Its monitor and its pool keep it up to date, on one event loop.
    """

    def __init__(self, address: str, channel: grpc.aio.Channel, *, max_streams: int) -> None:
        self.address = address
        self.id = backend_id(address)
        self.channel = channel
        self.health = Health()
        self.outlier = Record()
        self.is_drained = False
        self.streams = 0  # calls of ours that take a place
        self.calls = 0  # these and the others
        self.eligible_since_s: float | None = None
        self.models: frozenset[str] = frozenset()  # as last told, even by one that is gone now
        self._load: Load | None = None
        self._told_s = 0.0
        self._max_streams = max_streams

    def believe(self, health: Health) -> None:
        """Take what is now known of its health."""
        is_back = health.answer is Answer.SERVING and self.health.answer is not Answer.SERVING
        self.health = health
        if is_back:  # most likely another process, which has done nothing wrong yet
            self.outlier = Record()

    def tell(self, load: Load, now_s: float) -> None:
        """Take a report."""
        self._load, self._told_s = load, now_s
        self.models = load.models

    def forget_load(self) -> None:
        """The reports have ended."""
        self._load = None

    def load(self, now_s: float) -> Load | None:
        """The latest report, unless it is stale."""
        return self._load if now_s < self._told_s + STALE_S else None

    def state(self, now_s: float) -> "Backend.State.ValueType":
        """Whether it is offered new calls, or why not."""
        load = self.load(now_s)
        if self.is_drained:
            return Backend.STATE_DRAINED
        if self.health.answer is Answer.NONE:
            return Backend.STATE_UNREACHABLE
        if self.health.answer is Answer.NOT_SERVING or (load is not None and load.draining):
            return Backend.STATE_NOT_SERVING
        if self.outlier.is_ejected(now_s):
            return Backend.STATE_EJECTED
        return Backend.STATE_SERVING

    def max_streams(self, now_s: float) -> int:
        """Calls that may speak on it at once."""
        load = self.load(now_s)
        return self._max_streams if load is None else min(self._max_streams, load.max_streams)

    def is_measured(self, now_s: float) -> bool:
        """Whether it tells how many streams it carries in real time."""
        load = self.load(now_s)
        return load is not None and load.real_time_streams is not None

    def candidate(self, now_s: float, *, slow_start_s: float, by_measure: bool) -> Candidate:
        """How the choice sees it now; its capacity as measured, or by its slots."""
        load = self.load(now_s)
        streams, work, capacity = self.streams, float(self.streams), ASSUMED_CAPACITY
        resident: frozenset[str] = frozenset()
        if load is not None:
            # Others may send it calls too. Ours are counted here at once, theirs with the report.
            streams = max(streams, load.active_streams)
            work = max(float(streams), load.queued_audio_s / UTTERANCE_AUDIO_S)
            measured = load.real_time_streams if by_measure else None
            # A device may carry more streams than it is ever given.
            capacity = min(measured or load.slots, self.max_streams(now_s))
            resident = load.resident_voices
        since_s = now_s if self.eligible_since_s is None else self.eligible_since_s
        return Candidate(
            id=self.id,
            work=work,
            capacity=capacity,
            room=self.max_streams(now_s) - streams,
            warmth=warmth(now_s - since_s, slow_start_s=slow_start_s),
            resident_voices=resident,
        )


def candidates_of(
    upstreams: Sequence[Upstream], now_s: float, *, slow_start_s: float
) -> list[Candidate]:
    """How the choice sees them; by their measures only where all have one, to compare alike."""
    by_measure = all(upstream.is_measured(now_s) for upstream in upstreams)
    return [
        upstream.candidate(now_s, slow_start_s=slow_start_s, by_measure=by_measure)
        for upstream in upstreams
    ]
