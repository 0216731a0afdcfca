"""CallInterceptor: what every call of ours gets: an id, a status, one log line, its metrics."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
import structlog

from chatterbox.errors import ChatterboxError
from chatterbox.process.logs import bind_request_id
from chatterbox.process.request_ids import REQUEST_ID_KEY, request_id_of
from chatterbox.process.status import code_of, internal_error, status_of
from chatterbox.process.tracing import Span, Tracer
from server.calls import CallRecord, current_call
from server.metrics import ServerMetrics
from server.readable import each_readable, forgiving, readable

OURS = "/chatterbox."  # health and reflection answer for themselves
BETWEEN_OURSELVES = "chatterbox.worker."  # watched for as long as there is a balancer: no traces

Context = Any  # grpc.aio's own, whose stub lacks abort_with_status
Handler = Any  # grpc.RpcMethodHandler, which is generic in the stub only
Stream = Callable[[Any, Context], AsyncGenerator[Any, None]]
Unary = Callable[[Any, Context], Awaitable[Any]]
Read = Callable[[Any], Any]  # a request, or all of them, if they can be read

log = structlog.get_logger("server.calls")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Wraps the handlers of our services, which are async generators or coroutines."""

    def __init__(self, metrics: ServerMetrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer

    async def intercept_service(  # type: ignore[override]  # the stub has no unknown methods
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a method, wrapped if the method is ours."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OURS):
            return handler
        name = method.removeprefix("/")
        codecs = {
            "request_deserializer": forgiving(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        read = each_readable if handler.request_streaming else readable
        if handler.stream_stream is not None:
            wrapped = self._stream(name, handler.stream_stream, read)
            return grpc.stream_stream_rpc_method_handler(wrapped, **codecs)
        if handler.unary_stream is not None:
            wrapped = self._stream(name, handler.unary_stream, read)
            return grpc.unary_stream_rpc_method_handler(wrapped, **codecs)
        if handler.stream_unary is not None:
            collected = self._unary(name, handler.stream_unary, read)
            return grpc.stream_unary_rpc_method_handler(collected, **codecs)
        assert handler.unary_unary is not None, "a handler is one of four kinds"
        answered = self._unary(name, handler.unary_unary, read)
        return grpc.unary_unary_rpc_method_handler(answered, **codecs)

    def _stream(self, method: str, behaviour: Any, read: Read) -> Stream:
        async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
            observed = self._observed(method, context)
            try:
                async with aclosing(behaviour(read(request), context)) as responses:
                    async for response in responses:
                        await observed.answer()
                        yield response
            except BaseException as error:
                await observed.fail(error)
            finally:
                observed.end(self._metrics)

        return call

    def _unary(self, method: str, behaviour: Any, read: Read) -> Unary:
        async def call(request: Any, context: Context) -> Any:
            observed = self._observed(method, context)
            try:
                response = await behaviour(read(request), context)
                await observed.answer()
            except BaseException as error:
                await observed.fail(error)
            finally:
                observed.end(self._metrics)
            return response

        return call

    def _observed(self, method: str, context: Context) -> "_Observed":
        received = context.invocation_metadata() or ()
        request_id = request_id_of(received)
        is_traced = not method.startswith(BETWEEN_OURSELVES)
        span = self._tracer.serve(method, received, request_id=request_id) if is_traced else Span()
        record = CallRecord(
            method=method, request_id=request_id, span=span, spoke=self._metrics.spoke
        )
        return _Observed(record, context)


class _Observed:
    """One call under observation. Made in the call's own task."""

    def __init__(self, record: CallRecord, context: Context) -> None:
        self.record = record
        self._context = context
        self._code = grpc.StatusCode.OK
        self._reason: str | None = None
        self._deadline_s = context.time_remaining()
        self._has_answered = False
        current_call.set(record)
        bind_request_id(record.request_id, trace_id=record.span.trace_id)

    async def answer(self) -> None:
        """Send the id ahead of the first response.

        Not earlier: a call that fails before it has answered stays a single header frame, which
        proxies may still retry and turn into an HTTP status.
        """
        if not self._has_answered:
            self._has_answered = True
            await self._context.send_initial_metadata(self._metadata())

    async def fail(self, error: BaseException) -> NoReturn:
        """End the call with the status of `error`; raises."""
        request_id = self.record.request_id
        if isinstance(error, ChatterboxError):
            self._code, self._reason = code_of(error), error.reason
            status = status_of(error, request_id=request_id)
        elif isinstance(error, Exception):
            self._code = grpc.StatusCode.INTERNAL
            log.error("a call met a bug", method=self.record.method, exc_info=error)
            status = internal_error(request_id=request_id)
        else:  # GeneratorExit or CancelledError: the client has left, or its deadline passed
            self._code = self._departure(error)
            raise error
        trailing = (*status.trailing_metadata, *self._metadata())
        await self._context.abort_with_status(status._replace(trailing_metadata=trailing))
        raise AssertionError("abort raises")

    def end(self, metrics: ServerMetrics) -> None:
        """Write the log line, end the span and count the call."""
        record = self.record
        metrics.ended(record, self._code.name)
        figures = {
            "reason": self._reason,
            "deadline_s": self._deadline_s,
            "ttfa_s": record.time_to_first_audio_s,
            "audio_s": record.audio_s or None,
            "rtf": record.real_time_factor,
            "underruns": record.underrun_count,
            "underrun_s": record.underrun_s,
            "characters": record.character_count,
        }
        record.span.note(**figures)
        record.span.end(self._code.name)
        log.info(
            "call",
            method=record.method,
            code=self._code.name,
            duration_s=round(record.duration_s, 4),
            request_id=record.request_id,
            **{
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in figures.items()
                if value is not None
            },
        )

    def _departure(self, error: BaseException) -> grpc.StatusCode:
        if not isinstance(error, GeneratorExit | asyncio.CancelledError):
            return grpc.StatusCode.UNKNOWN  # the process itself is being ended
        remaining_s = self._context.time_remaining()
        is_late = remaining_s is not None and remaining_s <= 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return ((REQUEST_ID_KEY, self.record.request_id),)
