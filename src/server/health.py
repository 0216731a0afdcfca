"""ServiceHealth: what grpc.health.v1 says of this server and each of its services."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # not in the stubs

from chatterbox.engine.protocol import Engine, EngineState

log = structlog.get_logger(__name__)

CHECK_INTERVAL_S = 0.5  # a failed device should not be offered work for long


class ServiceHealth:
    """NOT_SERVING until told otherwise, for "" and for every service named."""

    def __init__(self, services: Sequence[str]) -> None:
        self._names = ("", *services)
        self._servicer = health_aio.HealthServicer()
        self._is_serving: bool | None = None

    async def register(self, server: grpc.aio.Server) -> None:
        """Answer health checks on this server, with NOT_SERVING for now."""
        await self._say(serving=False)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    @asynccontextmanager
    async def following(self, engine: Engine) -> AsyncIterator[None]:
        """Say SERVING exactly while the engine is ready, from here until the context is left."""
        await self._say(serving=engine.state is EngineState.READY)
        task = asyncio.create_task(self._follow(engine))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self, engine: Engine) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            await self._say(serving=engine.state is EngineState.READY)

    async def stop(self) -> None:
        """NOT_SERVING from now on, whatever else is said."""
        self._is_serving = False
        await self._servicer.enter_graceful_shutdown()

    async def _say(self, *, serving: bool) -> None:
        if serving is self._is_serving:
            return
        if self._is_serving is not None:
            log.info("health changed", serving=serving)
        self._is_serving = serving
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in self._names:
            await self._servicer.set(name, status.SERVING if serving else status.NOT_SERVING)
