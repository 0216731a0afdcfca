"""Look: a cluster at one moment, as its balancer tells it, or as a model server tells of itself."""

import time
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from chatterbox.v1.backend_pb2 import Backend
from chatterbox.v1.balancer_pb2 import Balancer
from chatterbox.v1.totals_pb2 import ServerTotals
from chatterbox.worker.v1.worker_service_pb2 import WatchLoadResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a server has done since some moment."""

    calls: int = 0
    failures: int = 0
    audio_s: float = 0.0
    underruns: int = 0
    bounds_s: tuple[float, ...] = ()
    first_audio: tuple[int, ...] = ()  # calls per bucket, one more than bounds; or none at all


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLook:
    """A model server."""

    address: str
    state: str  # serving, drained, ...
    streams: int
    max_streams: int
    real_time_streams: int  # 0 while unknown
    waiting: int  # utterances
    queued_s: float
    voices: tuple[str, ...]
    models: tuple[str, ...]
    version: str
    totals: Totals | None  # None while it has not told


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerLook:
    """The balancer. All but the first two are counted since its start."""

    active: int
    waiting: int
    calls: int
    failures: int
    refused: int
    retries: int
    resumed: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All of it. `balancer` is None where a model server was asked by itself."""

    servers: tuple[ServerLook, ...]
    balancer: BalancerLook | None
    at_s: float = field(default_factory=time.monotonic)


def server_look(backend: Backend) -> ServerLook:
    """What a balancer tells of a backend."""
    return ServerLook(
        address=backend.address,
        state=Backend.State.Name(backend.state).removeprefix("STATE_").lower().replace("_", " "),
        streams=backend.active_streams,
        max_streams=backend.max_streams,
        real_time_streams=backend.real_time_streams,
        waiting=backend.waiting,
        queued_s=_seconds(backend.queued_audio),
        voices=tuple(_id(name) for name in backend.resident_voices),
        models=tuple(_id(name) for name in backend.models),
        version=backend.version,
        totals=_totals(backend.totals) if backend.HasField("totals") else None,
    )


def lone_server_look(load: WatchLoadResponse, *, address: str) -> ServerLook:
    """What a model server tells of itself."""
    return ServerLook(
        address=address,
        state="not serving" if load.draining else "serving",
        streams=load.active_streams,
        max_streams=load.max_streams,
        real_time_streams=load.real_time_streams,
        waiting=load.waiting,
        queued_s=_seconds(load.queued_audio),
        voices=tuple(sorted(_id(name) for name in load.resident_voices)),
        models=tuple(_id(name) for name in load.models),
        version=load.version,
        totals=_totals(load.totals) if load.HasField("totals") else None,
    )


def balancer_look(balancer: Balancer) -> BalancerLook:
    """What a balancer tells of itself."""
    return BalancerLook(
        active=balancer.active_calls,
        waiting=balancer.waiting_calls,
        calls=balancer.totals.calls,
        failures=balancer.totals.failed_calls,
        refused=balancer.totals.refused_calls,
        retries=balancer.totals.retries,
        resumed=balancer.totals.resumed_streams,
        lost=balancer.totals.lost_streams,
    )


def _totals(message: ServerTotals) -> Totals:
    return Totals(
        calls=message.calls,
        failures=message.failed_calls,
        audio_s=_seconds(message.audio),
        underruns=message.underruns,
        bounds_s=tuple(message.time_to_first_audio.upper_bounds_seconds),
        first_audio=tuple(message.time_to_first_audio.counts),
    )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _id(name: str) -> str:
    return name.partition("/")[2]
