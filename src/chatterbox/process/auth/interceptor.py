"""AuthInterceptor: nobody gets in unknown, and nobody gets more than was agreed."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, aclosing, nullcontext
from typing import Any

import grpc
import structlog

from chatterbox.errors import ChatterboxError, LimitReached, Unauthenticated
from chatterbox.process.auth.allowances import Allowances
from chatterbox.process.auth.authenticator import Authenticator
from chatterbox.process.auth.callers import Caller, Limits, Role, current_caller, is_read_only
from chatterbox.process.auth.first_message import FirstMessages
from chatterbox.process.request_ids import REQUEST_ID_KEY, request_id_of
from chatterbox.process.status import Status, code_of, status_of

WATCH = "/grpc.health.v1.Health/Watch"
# By their full names: where everything is forwarded, others of the same service would be.
HEALTH = frozenset([WATCH, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"])
REFLECTION = "/grpc.reflection."
PUSHBACK_KEY = "grpc-retry-pushback-ms"  # gRFC A6

# Health is told to anybody. A watch lasts as long as the other side likes, so there is a bound.
ANYBODY = Caller(id="anybody", role=Role.USER, limits=Limits(max_streams=100))

# For the only message of a call. Of strangers' calls, which hold no place of anybody's, only so many
# may have none; a recording takes its time on a slow line, and waits in a place of its caller's.
STRANGERS_S, STRANGERS_WAITING = 5.0, 100
CALLERS_S, CALLERS_WAITING = 60.0, 100_000

Meters = Mapping[str, Callable[[bytes], int]]  # by method: the characters of text in a message
Context = Any  # grpc.aio's own, whose stub lacks abort_with_status
Handler = Any  # grpc.RpcMethodHandler, which is generic in the stub only
Behaviour = Callable[[Any, Context], Awaitable[Any]]

MAKE: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}

log = structlog.get_logger(__name__)


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Stands before all other interceptors, and before handlers that take any method alike."""

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        meters: Meters,
        has_reflection: bool,
        refused: Callable[[str], None],
    ) -> None:
        """`refused` is called with the reason of each refusal."""
        self._authenticator = authenticator
        self._allowances = Allowances()
        self._messages = FirstMessages(within_s=CALLERS_S, at_most=CALLERS_WAITING)
        self._strangers_messages = FirstMessages(within_s=STRANGERS_S, at_most=STRANGERS_WAITING)
        self._meters = meters
        self._has_reflection = has_reflection
        self._count_refusal = refused

    async def intercept_service(  # type: ignore[override]  # the stub has no unknown methods
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a method, or one that refuses."""
        method: str = handler_call_details.method
        metadata: Iterable[tuple[str, Any]] = handler_call_details.invocation_metadata or ()
        try:
            caller = await self._admitted(method, metadata)
        except ChatterboxError as error:
            status = self._refusal(error, method, metadata)

            async def refuse(_: Any, context: Context) -> None:
                await context.abort_with_status(status)

            return grpc.stream_stream_rpc_method_handler(refuse)  # fits all four kinds of call
        handler = await continuation(handler_call_details)
        if handler is None or (method.startswith(REFLECTION) and not self._has_reflection):
            return None
        return self._limited(handler, method, caller)

    async def _admitted(self, method: str, metadata: Iterable[tuple[str, Any]]) -> Caller:
        """Who calls, if they may. Raises Unauthenticated, PermissionDenied or LimitReached."""
        if method in HEALTH:
            return await self._asking_for_health(metadata)
        caller = await self._authenticator.caller_of(metadata)
        current_caller.set(caller)
        structlog.contextvars.bind_contextvars(caller=caller.id)  # of the call's own task
        caller.check(method)
        if method in self._meters:
            self._allowances.check_characters(caller)
        return caller

    async def _asking_for_health(self, metadata: Iterable[tuple[str, Any]]) -> Caller:
        """Whoever is known asks in its own name: strangers must not take a balancer's place."""
        try:
            return await self._authenticator.caller_of(metadata)
        except Unauthenticated:
            return ANYBODY

    def _limited(self, handler: Handler, method: str, caller: Caller) -> Handler:
        """The handler, or one that counts what the caller uses, if that is limited."""
        meter = self._meters.get(method) if caller.limits.characters_per_minute else None
        place = self._place(method, caller)
        if meter is None and place is None:
            return handler
        deserialize = handler.request_deserializer
        # The message of a call that takes a place is read here, and not before it has one.
        return MAKE[handler.request_streaming or place is not None, handler.response_streaming](
            _behaviour_of(handler)
            if place is None
            else self._in_place(place, handler, method, caller),
            request_deserializer=(
                deserialize if meter is None else self._metered(deserialize, meter, caller)
            ),
            response_serializer=handler.response_serializer,
        )

    def _place(self, method: str, caller: Caller) -> AbstractContextManager[None] | None:
        """What the call takes of the caller's while it lasts; None if that is not counted."""
        if caller is ANYBODY:
            return self._allowances.stream(caller) if method == WATCH else nullcontext()
        if method in HEALTH or is_read_only(method):
            return None if caller.role is Role.BALANCER else self._allowances.look(caller)
        return None if caller.limits.max_streams is None else self._allowances.stream(caller)

    def _metered(
        self,
        deserialize: Callable[[bytes], Any] | None,
        meter: Callable[[bytes], int],
        caller: Caller,
    ) -> Callable[[bytes], Any]:
        """Every message of any call passes through its deserializer, however it is then read."""

        def take(message: bytes) -> Any:
            self._allowances.spend(caller, meter(message))
            return message if deserialize is None else deserialize(message)

        return take

    def _in_place(
        self, place: AbstractContextManager[None], handler: Handler, method: str, caller: Caller
    ) -> Behaviour:
        """What the handler does, while the place is taken. It is given its messages as a stream."""
        behaviour = _behaviour_of(handler)
        is_generator = inspect.isasyncgenfunction(behaviour)
        messages = self._strangers_messages if caller is ANYBODY else self._messages

        async def call(requests: Any, context: Context) -> Any:
            with ExitStack() as places:
                try:
                    places.enter_context(place)
                    request = requests if handler.request_streaming else await messages.of(context)
                except ChatterboxError as error:
                    metadata = context.invocation_metadata() or ()
                    await context.abort_with_status(self._refusal(error, method, metadata))
                if not is_generator:
                    return await behaviour(request, context)
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)
                return None

        return call

    def _refusal(
        self, error: ChatterboxError, method: str, metadata: Iterable[tuple[str, Any]]
    ) -> Status:
        """The status of a call that is refused, which is noted."""
        request_id = request_id_of(metadata)
        status = status_of(error, request_id=request_id)
        code = code_of(error).name
        log.info(
            "call refused",
            method=method.removeprefix("/"),
            code=code,
            reason=error.reason,
            request_id=request_id,
        )
        self._count_refusal(error.reason)
        trailing = [*status.trailing_metadata, (REQUEST_ID_KEY, request_id)]
        if isinstance(error, LimitReached):
            trailing.append((PUSHBACK_KEY, str(round(error.retry_after_s * 1000))))
        return status._replace(trailing_metadata=tuple(trailing))


def _behaviour_of(handler: Handler) -> Any:
    kinds = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    return next(behaviour for behaviour in kinds if behaviour is not None)
