"""AdminService: shows and steers the backends of this balancer."""

import re
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import structlog

from balancer.convert import backend_message
from balancer.pool import Pool
from balancer.upstream import Upstream
from chatterbox.errors import ChatterboxError, InvalidRequest
from chatterbox.process.pages import page_of
from chatterbox.process.request_ids import request_id_of
from chatterbox.process.status import status_of
from chatterbox.v1 import admin_service_pb2 as pb
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceServicer
from chatterbox.v1.backend_pb2 import Backend
from chatterbox.v1.balancer_pb2 import Balancer

BACKEND_NAME = re.compile(r"backends/([a-z0-9-]{1,200})")

Context = Any  # grpc.aio's own, whose stub lacks abort_with_status
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = Callable[["AdminService", Request, Context], Awaitable[Response]]

log = structlog.get_logger(__name__)


def _answering(method: Method[Request, Response]) -> Method[Request, Response]:
    """Let our errors end the call with their status."""

    @wraps(method)
    async def answer(self: "AdminService", request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except ChatterboxError as error:
            request_id = request_id_of(context.invocation_metadata())
            await context.abort_with_status(status_of(error, request_id=request_id))
            raise AssertionError("abort raises") from None

    return answer


class AdminService(AdminServiceServicer):
    """Speaks for one pool, and for the balancer as `describe` tells of it."""

    def __init__(self, pool: Pool, describe: Callable[[], Balancer]) -> None:
        self._pool = pool
        self._describe = describe

    @_answering
    async def GetBalancer(self, request: pb.GetBalancerRequest, context: Context) -> Balancer:
        """The balancer at this moment."""
        return self._describe()

    @_answering
    async def ListBackends(
        self, request: pb.ListBackendsRequest, context: Context
    ) -> pb.ListBackendsResponse:
        """A page of backends, by name."""
        page, next_token = page_of(
            self._pool.upstreams,
            key=lambda upstream: upstream.id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        now_s = time.monotonic()
        messages = [backend_message(upstream, now_s=now_s) for upstream in page]
        return pb.ListBackendsResponse(backends=messages, next_page_token=next_token)

    @_answering
    async def DrainBackend(self, request: pb.DrainBackendRequest, context: Context) -> Backend:
        """Offer a backend no more calls."""
        return self._set_drained(request.name, drained=True)

    @_answering
    async def UndrainBackend(self, request: pb.UndrainBackendRequest, context: Context) -> Backend:
        """Offer a drained backend calls again."""
        return self._set_drained(request.name, drained=False)

    def _set_drained(self, name: str, *, drained: bool) -> Backend:
        upstream = self._named(name)
        self._pool.drain(upstream, drained=drained)
        return backend_message(upstream, now_s=time.monotonic())

    def _named(self, name: str) -> Upstream:
        match = BACKEND_NAME.fullmatch(name)
        if match is None:
            raise InvalidRequest(
                "name must be backends/ and an id", field="name", reason="INVALID_NAME"
            )
        return self._pool.get(match[1])
