"""When a process is up."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.process.grpc_options import client_options
from chatterbox.process.tls import ClientTls, channel_credentials, channel_options

LOOK_S = 0.1
ANSWER_S = 1.0


async def until_serving(address: str, tls: ClientTls | None = None) -> None:
    """Wait until what listens at host:port says SERVING. Raises ConfigError for unreadable files."""
    async with _channel(address, tls) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while not await _is_serving(health):  # noqa: ASYNC110  # another process sets no event
            await asyncio.sleep(LOOK_S)


def _channel(address: str, tls: ClientTls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=client_options())
    options = [*client_options(), *channel_options(tls)]
    return grpc.aio.secure_channel(address, channel_credentials(tls), options=options)


async def _is_serving(health: "health_pb2_grpc.HealthAsyncStub") -> bool:
    try:
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
