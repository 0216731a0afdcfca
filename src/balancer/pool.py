"""Pool: the backends, which of them are eligible, and the places on them."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

import grpc
import structlog

from balancer import background, outliers
from balancer.metrics import BalancerMetrics
from balancer.monitor import Monitor
from balancer.outliers import OutlierRules
from balancer.policy import Wish, choose
from balancer.upstream import Upstream, candidates_of
from balancer.waiting import WaitingLine
from chatterbox.errors import NoBackend, NotFound, Overloaded
from chatterbox.v1.backend_pb2 import Backend

RETRY_AFTER_S = 1.0  # the order of one utterance

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """The bounds of a pool."""

    health_service: str
    backend_streams: int = 32
    max_queue: int = 64
    queue_wait_s: float = 5.0
    slow_start_s: float = 5.0
    outliers: OutlierRules = field(default_factory=OutlierRules)


class Place:
    """A call's place on a backend; left once, however often it is said."""

    def __init__(self, upstream: Upstream, leave: Callable[[], None]) -> None:
        self.upstream = upstream
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """Free it."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Pool:
    """Belongs to one event loop. `dial` makes the channel to an address."""

    def __init__(
        self,
        config: PoolConfig,
        *,
        dial: Callable[[str], grpc.aio.Channel],
        metrics: BalancerMetrics,
        rng: Random,
    ) -> None:
        self._config = config
        self._dial = dial
        self._metrics = metrics
        self._rng = rng
        self._upstreams: dict[str, Upstream] = {}
        self._monitors: dict[str, asyncio.Task[None]] = {}
        self._states: dict[str, Backend.State.ValueType] = {}
        self._line = WaitingLine(
            max_length=config.max_queue, max_wait_s=config.queue_wait_s, take=self._take
        )
        self._closing: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()  # a backend's state did; whoever waits for it clears it

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """The backends, by id."""
        return sorted(self._upstreams.values(), key=lambda upstream: upstream.id)

    def get(self, upstream_id: str) -> Upstream:
        """One backend; raises NotFound."""
        if upstream_id not in self._upstreams:
            name = f"backends/{upstream_id}"
            raise NotFound(f"there is no backend {upstream_id!r}", resource=name)
        return self._upstreams[upstream_id]

    def update(self, addresses: Iterable[str]) -> None:
        """Let exactly these be the backends. Calls on one that goes run to their end."""
        wanted = set(addresses)
        for upstream in self.upstreams:
            if upstream.address not in wanted:
                self._remove(upstream)
        known = {upstream.address for upstream in self._upstreams.values()}
        for address in sorted(wanted - known):
            self._add(address)

    async def close(self) -> None:
        """Let go of every backend; what still runs on them is cancelled."""
        for upstream in self.upstreams:
            self._stop_monitor(upstream)
            self._close_channel(upstream)
        self._upstreams.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._line)

    @property
    def is_serving(self) -> bool:
        """Whether any backend is eligible."""
        return any(self._is_eligible(upstream) for upstream in self._upstreams.values())

    async def place(self, wish: Wish, *, avoid: Collection[str] = ()) -> Place:
        """A place on a backend, if need be after waiting for one; not on one of `avoid` if others serve.

        Raises NoBackend at once when none serves that could take the call, and Overloaded when the
        queue is full or its time is over.
        """
        upstream = self._take(wish, avoid)  # what is free now, none of those who wait can use
        if upstream is None:
            self._check_served(wish)
            upstream = await self._line.wait(
                wish, avoid, give_back=lambda taken: self._leave(taken, wish)
            )
        if upstream is None:
            self._check_served(wish)
            self._metrics.refused()
            raise Overloaded(
                "every backend is full, and so is the queue", retry_after_s=RETRY_AFTER_S
            )
        return Place(upstream, partial(self._leave, upstream, wish))

    def judge(self, upstream: Upstream, *, is_sound: bool) -> None:
        """Its last answer was one of a sound backend, be it an error, or was not."""
        now_s, rules, record = time.monotonic(), self._config.outliers, upstream.outlier
        if is_sound:
            upstream.outlier = outliers.succeeded(record, now_s=now_s, rules=rules)
            return
        others = [other for other in self._upstreams.values() if other is not upstream]
        may_eject = outliers.may_eject(
            ejected=sum(other.outlier.is_ejected(now_s) for other in others),
            total=len(self._upstreams),
            others_eligible=sum(self._is_eligible(other) for other in others),
            rules=rules,
        )
        upstream.outlier = outliers.failed(record, now_s=now_s, may_eject=may_eject, rules=rules)
        if upstream.outlier.ejections > record.ejections:
            self._metrics.ejected(upstream.address)
        self.observe(upstream)

    def drain(self, upstream: Upstream, *, drained: bool) -> None:
        """Offer it no more calls, or offer it calls again."""
        upstream.is_drained = drained
        self.observe(upstream)

    def observe(self, upstream: Upstream) -> None:
        """Something about it may have changed: tell of it, and serve those who wait."""
        if self._upstreams.get(upstream.id) is not upstream:
            return
        now_s = time.monotonic()
        state = upstream.state(now_s)
        if state != self._states.get(upstream.id):
            self._states[upstream.id] = state
            upstream.eligible_since_s = now_s if state == Backend.STATE_SERVING else None
            name = Backend.State.Name(state).removeprefix("STATE_").lower()
            log.info("backend", address=upstream.address, state=name)
            self.changed.set()
        self._line.serve()

    def _is_eligible(self, upstream: Upstream) -> bool:
        return upstream.state(time.monotonic()) == Backend.STATE_SERVING

    def _suitable(self, wish: Wish) -> list[Upstream]:
        """Those that have the model; all, where none is known to have it: they know how to refuse."""
        every = list(self._upstreams.values())
        return [upstream for upstream in every if wish.model in upstream.models] or every

    def _check_served(self, wish: Wish) -> None:
        if not any(self._is_eligible(upstream) for upstream in self._suitable(wish)):
            self._metrics.refused()
            raise NoBackend("no model server that could take the call serves now")

    def _take(self, wish: Wish, avoid: Collection[str]) -> Upstream | None:
        """Choose a backend and take a place on it, in one go."""
        eligible = [upstream for upstream in self._suitable(wish) if self._is_eligible(upstream)]
        others = [upstream for upstream in eligible if upstream.id not in avoid]
        candidates = candidates_of(
            others or eligible, time.monotonic(), slow_start_s=self._config.slow_start_s
        )
        chosen = choose(candidates, wish, self._rng)
        if chosen is None:
            return None
        upstream = self._upstreams[chosen.id]
        upstream.calls += 1
        upstream.streams += wish.takes_place
        self._metrics.picked(upstream.address)
        return upstream

    def _leave(self, upstream: Upstream, wish: Wish) -> None:
        upstream.calls -= 1
        upstream.streams -= wish.takes_place
        if upstream.calls == 0 and self._upstreams.get(upstream.id) is not upstream:
            self._close_channel(upstream)
        self._line.serve()

    def _add(self, address: str) -> None:
        upstream = Upstream(address, self._dial(address), max_streams=self._config.backend_streams)
        if upstream.id in self._upstreams:
            log.warning("a backend is passed over", address=address, reason="another has its id")
            self._close_channel(upstream)
            return
        self._upstreams[upstream.id] = upstream
        monitor = Monitor(upstream, service=self._config.health_service, changed=self.observe)
        self._monitors[upstream.id] = background.begin(monitor.run(), name=f"monitor {address}")

    def _remove(self, upstream: Upstream) -> None:
        log.info("backend", address=upstream.address, state="removed", calls=upstream.calls)
        self._stop_monitor(upstream)
        del self._upstreams[upstream.id]
        self._metrics.forget(upstream.address)
        if upstream.calls == 0:
            self._close_channel(upstream)
        self.changed.set()

    def _stop_monitor(self, upstream: Upstream) -> None:
        self._states.pop(upstream.id, None)
        self._monitors.pop(upstream.id).cancel()

    def _close_channel(self, upstream: Upstream) -> None:
        task = asyncio.create_task(upstream.channel.close(None))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
