"""The composition root: builds a balancer in order and takes it down in reverse."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import grpc
import structlog
from prometheus_client import CollectorRegistry

from balancer import background
from balancer.admin import AdminService
from balancer.call import Forwarding
from balancer.convert import backend_message, balancer_message
from balancer.dial import dialler
from balancer.discovery import discover
from balancer.metrics import PREFIX, BalancerMetrics
from balancer.own_health import OwnHealth
from balancer.pool import Pool, PoolConfig
from balancer.proxy import Proxy
from balancer.retry import RetryBudget
from balancer.settings import BalancerSettings
from chatterbox.process.addresses import dial_address, listen_on
from chatterbox.process.admission import Admission
from chatterbox.process.auth.guard import guarding
from chatterbox.process.grpc_options import server_options
from chatterbox.process.metrics import metrics_endpoint
from chatterbox.process.tls import server_credentials
from chatterbox.process.tracing import tracing
from chatterbox.text_length import CHARACTERS
from chatterbox.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server

FIRST_WORD_S = 1.0  # how long a starting balancer waits for a backend that serves
OTHER_CALLS = 1_000  # health watches and the operator's, beside those that are forwarded
CLOSING_S = 1.0  # for calls that are not forwarded: health watches never end by themselves

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBalancer:
    """A balancer that takes calls."""

    address: str  # as a client dials it
    port: int
    metrics_port: int | None
    pool: Pool
    admission: Admission


@asynccontextmanager
async def serving(settings: BalancerSettings) -> AsyncIterator[RunningBalancer]:
    """Run a balancer while the context lasts.

    Entered when it takes calls: as soon as a backend serves, or after a second without one.
    Leaving drains: NOT_SERVING at once, calls are still taken for `settings.lame_duck_s`, and those
    that run then get `settings.drain_s` to finish. Raises ConfigError when it cannot start.
    """
    settings.check_entrance(settings.listen)
    registry = CollectorRegistry()
    metrics = BalancerMetrics(registry)
    rng = Random()  # whom to draw is no secret
    pool = Pool(_pool_config(settings), dial=dialler(settings), metrics=metrics, rng=rng)
    budget = RetryBudget()
    admission = Admission(settings.max_calls)
    health = OwnHealth()
    _show(metrics, pool, admission, budget)
    async with AsyncExitStack() as stack:
        metrics_port = stack.enter_context(
            metrics_endpoint(registry, port=settings.metrics_port, host=settings.metrics_host)
        )
        tracer = await stack.enter_async_context(
            tracing(settings.otlp_endpoint, service="chatterbox-balancer")
        )
        guard = await stack.enter_async_context(
            guarding(settings, meters=CHARACTERS, registry=registry, prefix=PREFIX)
        )
        server = grpc.aio.server(
            interceptors=guard.interceptors,
            options=server_options(),
            maximum_concurrent_rpcs=settings.max_calls + OTHER_CALLS,
        )
        forwarding = Forwarding(
            pool=pool,
            metrics=metrics,
            budget=budget,
            tracer=tracer,
            rng=rng,
            max_retries=settings.max_retries,
            idle_timeout_s=settings.idle_timeout_s,
            max_duration_s=settings.max_duration_s,
        )
        server.add_generic_rpc_handlers([Proxy(forwarding, admission)])
        add_AdminServiceServicer_to_server(_admin(pool, metrics, admission), server)
        await health.register(server)
        port = listen_on(server, settings.listen, server_credentials(settings.tls))
        stack.push_async_callback(pool.close)
        discovery = await stack.enter_async_context(
            background.running(_follow(settings, pool), name="discovery")
        )
        await _first_word(pool, discovery)
        await server.start()
        stack.push_async_callback(server.stop, CLOSING_S)
        await stack.enter_async_context(background.running(health.follow(pool), name="health"))
        stack.push_async_callback(_drain, health, admission, settings)
        address = dial_address(settings.listen, port)
        log.info("listening", address=address, backends=len(pool.upstreams))
        yield RunningBalancer(
            address=address, port=port, metrics_port=metrics_port, pool=pool, admission=admission
        )


def _pool_config(settings: BalancerSettings) -> PoolConfig:
    return PoolConfig(
        health_service=settings.health_service,
        backend_streams=settings.backend_streams,
        max_queue=settings.max_queue,
        queue_wait_s=settings.queue_wait_s,
        slow_start_s=settings.slow_start_s,
    )


def _admin(pool: Pool, metrics: BalancerMetrics, admission: Admission) -> AdminService:
    return AdminService(
        pool,
        lambda: balancer_message(metrics.totals, active=admission.active, waiting=pool.waiting),
    )


def _show(metrics: BalancerMetrics, pool: Pool, admission: Admission, budget: RetryBudget) -> None:
    metrics.gauge("calls_active", "Calls that are forwarded now.", lambda: admission.active)
    metrics.gauge("queue_length", "Calls that wait for a place.", lambda: pool.waiting)
    metrics.gauge("retries_active", "Calls that are being tried again.", lambda: budget.retrying)
    metrics.backends(
        lambda: [backend_message(each, now_s=time.monotonic()) for each in pool.upstreams]
    )


async def _follow(settings: BalancerSettings, pool: Pool) -> None:
    async with aclosing(discover(settings.backends, every_s=settings.discovery_s)) as source:
        async for addresses in source:
            pool.update(addresses)


async def _first_word(pool: Pool, discovery: "asyncio.Task[None]") -> None:
    """Wait a while for a backend that serves; raises ConfigError if there is nowhere to look."""
    discovery.add_done_callback(lambda _: pool.changed.set())
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_WORD_S):
            while not pool.is_serving:
                if discovery.done():
                    discovery.result()
                pool.changed.clear()
                await pool.changed.wait()


async def _drain(health: OwnHealth, admission: Admission, settings: BalancerSettings) -> None:
    await health.enter_graceful_shutdown()
    await asyncio.sleep(settings.lame_duck_s)
    log.info("draining", calls=admission.active, drain_s=settings.drain_s)
    if not await admission.drain(timeout_s=settings.drain_s):
        log.warning("calls are cut off", calls=admission.active)
