"""OwnHealth: what grpc.health.v1 says of the balancer itself."""

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]  # not in the stubs

from balancer.pool import Pool

log = structlog.get_logger(__name__)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
EVERYTHING = health_pb2.HealthCheckRequest(service="")


class OwnHealth(health_aio.HealthServicer):  # type: ignore[misc]  # untyped
    """SERVING while at least one backend is eligible, whatever service is asked about.

    The balancer forwards services it does not know, so it answers alike for every name.
    """

    async def Check(self, request: object, context: object) -> object:
        """What it is now."""
        return await super().Check(EVERYTHING, context)

    async def Watch(self, request: object, context: object) -> None:
        """What it is now, and whenever that changes."""
        await super().Watch(EVERYTHING, context)

    async def register(self, server: grpc.aio.Server) -> None:
        """Answer health checks on this server, with NOT_SERVING for now."""
        await self.set("", NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def follow(self, pool: Pool) -> None:
        """Say what the pool is, until cancelled."""
        said: bool | None = None
        while True:
            pool.changed.clear()
            if pool.is_serving is not said:
                said = pool.is_serving
                log.info("health changed", serving=said)
                await self.set("", SERVING if said else NOT_SERVING)
            await pool.changed.wait()
