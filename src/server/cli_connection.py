"""A channel to a server: the one named, the one that runs here, or one started for the occasion."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.errors import EngineStopped
from chatterbox.process.addresses import BALANCER, EDGE, SERVER
from chatterbox.process.auth.settings import AuthSettings
from chatterbox.process.grpc_options import client_options
from chatterbox.process.logs import configure_logs
from chatterbox.process.tls import TlsSettings, channel_credentials
from server.cli_access import Access, access_of_environment
from server.settings import load_settings

LOCAL = (EDGE, BALANCER, SERVER)  # from the outside in, as far as there is one
PROBE_S = 1.0  # a server on this machine answers within milliseconds or is not there
CONNECT_S = 5.0


@asynccontextmanager
async def connected(
    address: str | None, access: Access | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to `address`, or to a local server, which is started if none is running.

    Raises EngineStopped when a named server does not answer or does not serve.
    """
    configure_logs(level="warning", log_format="console")
    if address is not None:
        async with channel_to(address, access) as channel:
            problem = await _problem(channel, timeout_s=CONNECT_S)
            if problem is not None:
                raise EngineStopped(f"the server at {address} {problem}")
            yield channel
        return
    for local in LOCAL:
        async with channel_to(local, access) as channel:
            if await _problem(channel, timeout_s=PROBE_S) is None:
                yield channel
                return
    async with _temporary_server() as started, channel_to(started, Access()) as channel:
        yield channel


@asynccontextmanager
async def _temporary_server() -> AsyncIterator[str]:
    """The address of a server that lives as long as the context."""
    # Not at the top: only who really serves should wait for the models' libraries.
    from server.app import serving

    if sys.stderr.isatty():
        sys.stderr.write("No server is running; starting one for this command ...\n")
    # Whatever is asked of callers elsewhere: nobody else finds this one.
    nothing = {
        name: field.get_default()
        for kind in (AuthSettings, TlsSettings)
        for name, field in kind.model_fields.items()
    }
    settings = load_settings(listen="127.0.0.1:0", drain_s=1.0, metrics_port=None, **nothing)
    async with serving(settings) as running:
        yield running.address


def channel_to(address: str, access: Access | None = None) -> grpc.aio.Channel:
    """A channel to an address, whatever is there, as the environment says unless `access` does.

    Raises ConfigError for an authority that cannot be read.
    """
    access = access or access_of_environment()
    tls, interceptors = access.tls, access.interceptors
    if tls is None:
        return grpc.aio.insecure_channel(
            address, options=client_options(), interceptors=interceptors
        )
    return grpc.aio.secure_channel(
        address, channel_credentials(tls), options=client_options(), interceptors=interceptors
    )


async def _problem(channel: grpc.aio.Channel, *, timeout_s: float) -> str | None:
    """What is wrong with the server behind a channel; None if it serves."""
    health = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        is_gone = error.code() is grpc.StatusCode.UNAVAILABLE
        return "cannot be reached" if is_gone else f"does not answer ({error.code().name})"
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return "is starting or stopping; try again"
    return None
