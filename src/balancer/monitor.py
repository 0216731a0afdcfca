"""Monitor: keeps what is known of one backend up to date."""

import asyncio
import time
from collections.abc import Callable

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from balancer.health import Health
from balancer.load import load_of
from balancer.upstream import Upstream
from chatterbox.worker.v1 import worker_service_pb2
from chatterbox.worker.v1.worker_service_pb2_grpc import WorkerServiceStub

CHECK_S = 1.0  # between two checks, and how long one may take
RECONNECT_S = 0.2  # before a watch that broke is opened again
NO_SUCH_WATCH_S = 30.0  # before one that the backend does not know is

UNWELCOME = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

SERVING = health_pb2.HealthCheckResponse.SERVING

log = structlog.get_logger(__name__)


class Monitor:
    """Watches and checks the health of an upstream, and watches its load, while `run` runs.

    Calls `changed` after each event, and at least once a second, so that what only time changes
    (an ejection's end, a report gone stale) is noticed as well.
    """

    def __init__(
        self, upstream: Upstream, *, service: str, changed: Callable[[Upstream], None]
    ) -> None:
        self._upstream = upstream
        self._changed = changed
        self._request = health_pb2.HealthCheckRequest(service=service)
        self._health = health_pb2_grpc.HealthStub(upstream.channel)
        self._worker = WorkerServiceStub(upstream.channel)

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_health())
            tasks.create_task(self._check_health())
            tasks.create_task(self._watch_load())

    async def _watch_health(self) -> None:
        while True:
            pause_s = RECONNECT_S
            try:
                async for told in self._health.Watch(self._request, wait_for_ready=True):
                    self._set(self._upstream.health.told(serving=told.status == SERVING))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    pause_s = NO_SUCH_WATCH_S  # the check alone decides
            if pause_s == RECONNECT_S:
                self._set(self._upstream.health.watch_broke())
            await asyncio.sleep(pause_s)

    async def _check_health(self) -> None:
        while True:
            began_s = time.monotonic()
            try:
                told = await self._health.Check(self._request, timeout=CHECK_S)
                self._set(self._upstream.health.told(serving=told.status == SERVING))
            except grpc.aio.AioRpcError as error:
                is_unknown = error.code() is grpc.StatusCode.NOT_FOUND  # no such service: it spoke
                health = self._upstream.health
                self._set(health.told(serving=False) if is_unknown else health.check_failed())
            await asyncio.sleep(max(0.0, began_s + CHECK_S - time.monotonic()))

    async def _watch_load(self) -> None:
        request = worker_service_pb2.WatchLoadRequest()
        while True:
            pause_s = RECONNECT_S
            try:
                async for told in self._worker.WatchLoad(request, wait_for_ready=True):
                    self._upstream.tell(load_of(told), time.monotonic())
                    self._changed(self._upstream)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.UNIMPLEMENTED, *UNWELCOME):
                    pause_s = NO_SUCH_WATCH_S
                if error.code() in UNWELCOME:  # and so are the calls that it will be sent
                    address, said = self._upstream.address, error.details()
                    log.warning(
                        "a backend does not let the balancer in", address=address, said=said
                    )
            self._upstream.forget_load()
            self._changed(self._upstream)
            await asyncio.sleep(pause_s)

    def _set(self, health: Health) -> None:
        self._upstream.believe(health)
        self._changed(self._upstream)
