"""Proxy: forwards every method, whatever it is."""

from collections.abc import Callable
from typing import Any

import grpc

from balancer.call import Context, ForwardedCall, Forwarding
from chatterbox.errors import ChatterboxError
from chatterbox.process.admission import Admission
from chatterbox.process.request_ids import request_id_of
from chatterbox.process.status import status_of

# No client's business: what lies between our own processes, and each backend's health.
OURS_ALONE = ("/chatterbox.worker.", "/grpc.health.")


class Proxy(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # no messages but bytes
    """Takes what no registered service takes, as streams of bytes both ways.

    A unary method is a stream of one message, so that one kind of handler serves all four.
    """

    def __init__(self, forwarding: Forwarding, admission: Admission) -> None:
        self._forwarding = forwarding
        self._admission = admission

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method; None for those that are not forwarded."""
        method = handler_call_details.method
        if method.startswith(OURS_ALONE):
            return None
        return grpc.stream_stream_rpc_method_handler(self._behaviour(method))

    def _behaviour(self, method: str) -> Callable[[Any, Context], Any]:
        async def forward(_: Any, context: Context) -> None:
            try:
                with self._admission.place():
                    await ForwardedCall(method, context, self._forwarding).run()
            except ChatterboxError as error:  # of the admission: full, or stopping
                request_id = request_id_of(context.invocation_metadata())
                await context.abort_with_status(status_of(error, request_id=request_id))

        return forward
