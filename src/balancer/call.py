"""ForwardedCall: one call of a client, from its first byte to its status."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
import structlog

from balancer import retry
from balancer.attempt import Attempt, Outcome
from balancer.metadata import is_transcoded, request_metadata, response_metadata
from balancer.metrics import BalancerMetrics
from balancer.patience import Patience
from balancer.peek import is_worth_a_look, wish_of
from balancer.policy import Wish
from balancer.pool import Pool
from balancer.record import CallRecord
from balancer.requests import Requests
from balancer.retry import RetryBudget
from chatterbox.errors import BackendLost, ChatterboxError, Overloaded
from chatterbox.process.logs import bind_request_id
from chatterbox.process.request_ids import REQUEST_ID_KEY, request_id_of
from chatterbox.process.status import code_of, internal_error, status_of
from chatterbox.process.tracing import Tracer

# No message of any kind. Envoy's JSON transcoder ends an HTTP answer that has begun as if it were
# whole, unless it meets what it cannot read: then it resets the stream, which every client sees.
# A wire type that does not exist; of a field that is cut short, the JSON side makes an empty object.
MALFORMED = b"\x0f"

Context = Any  # grpc.aio's own, whose stub knows no calls of raw bytes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """What the calls of a balancer share."""

    pool: Pool
    metrics: BalancerMetrics
    budget: RetryBudget
    tracer: Tracer
    rng: Random
    max_retries: int
    idle_timeout_s: float
    max_duration_s: float


class ForwardedCall:
    """Owns the client's side of a call, and one attempt at a time to have it answered.

    An attempt that fails before its first message may be followed by another, which is sent the
    client's messages again. Made and run in the call's own task.
    """

    def __init__(self, method: str, context: Context, forwarding: Forwarding) -> None:
        received = context.invocation_metadata() or ()
        self._method = method
        self._context = context
        self._forwarding = forwarding
        self._requests = Requests(self._read, keep_bytes=retry.REPLAY_BYTES)
        self._attempt: Attempt | None = None
        self._patience = Patience(
            idle_timeout_s=forwarding.idle_timeout_s, max_duration_s=forwarding.max_duration_s
        )
        request_id = request_id_of(received)
        self._record = CallRecord(
            method=method.removeprefix("/"),
            request_id=request_id,
            deadline_s=context.time_remaining(),
            span=forwarding.tracer.serve(method.removeprefix("/"), received, request_id=request_id),
        )
        self._metadata = request_metadata(received, request_id=request_id)

    async def run(self) -> None:
        """Forward the call to its end. Raises only when the client has left."""
        bind_request_id(self._record.request_id, trace_id=self._record.span.trace_id)
        self._forwarding.budget.running += 1
        pump = asyncio.create_task(self._requests.pump())
        pump.add_done_callback(_ignore)  # what it meets, the call meets too
        try:
            with self._patience:
                await self._forward()
        except ChatterboxError as error:
            self._refuse(error)
        except (asyncio.CancelledError, grpc.aio.InternalError):  # or a write came too late
            self._record.code = self._departure()
            raise
        except Exception as error:
            log.error("a call met a bug", method=self._method, exc_info=error)
            self._answer(internal_error(request_id=self._record.request_id))
        finally:
            pump.cancel()
            self._end_attempt()  # before the status, which a client who does not read never takes
            self._forwarding.budget.running -= 1
            self._record.end(self._forwarding.metrics)

    async def _forward(self) -> None:
        first = await self._requests.get(0) if is_worth_a_look(self._method) else None
        message = await self._first_message(wish_of(self._method, first))
        if message is not None:
            await self._relay(message)
        assert self._attempt is not None
        outcome = await self._attempt.outcome()
        self._judge(outcome)
        if self._record.messages and not outcome.is_ok and is_transcoded(self._metadata):
            await self._context.write(MALFORMED)
        if outcome.is_lost:
            when = "while" if self._record.messages else "before"
            raise BackendLost(f"the model server was lost {when} it answered")
        self._answer(outcome)

    async def _first_message(self, wish: Wish) -> bytes | None:
        """From the first backend that gives one; None when an attempt's end is the answer."""
        budget = self._forwarding.budget
        avoid: list[str] = []
        try:
            while True:
                attempt = self._attempt = await self._open(wish, avoid)
                message = await attempt.read()
                if message is not None:
                    return message
                outcome = await attempt.outcome()
                delay_s = self._retry_delay_s(outcome)
                if delay_s is None:
                    return None
                self._judge(outcome)
                self._end_attempt()
                budget.retrying += not avoid
                avoid.append(attempt.upstream.id)
                self._record.retries += 1
                self._forwarding.metrics.retried(attempt.upstream.address)
                await asyncio.sleep(delay_s)
        finally:
            budget.retrying -= bool(avoid)

    async def _open(self, wish: Wish, avoid: list[str]) -> Attempt:
        place = await self._forwarding.pool.place(wish, avoid=avoid)
        metadata = self._record.attempt(place.upstream.address, self._metadata)
        try:
            return Attempt(
                place,
                self._method,
                metadata=metadata,
                timeout_s=self._context.time_remaining(),
                requests=self._requests,
            )
        except BaseException:
            place.leave()
            raise

    def _retry_delay_s(self, outcome: Outcome) -> float | None:
        """How long to wait before another attempt; None when this outcome stands."""
        may_retry = (
            retry.may_retry(outcome.code, outcome.reason)
            and self._record.retries < self._forwarding.max_retries
            and self._requests.can_be_repeated
            and self._forwarding.budget.allows_one_more
        )
        if not may_retry:
            return None
        return retry.delay_s(self._record.retries, outcome.trailing, self._forwarding.rng)

    async def _relay(self, message: bytes | None) -> None:
        """Pass on the answer from its first message to its last."""
        assert self._attempt is not None
        self._record.first_message_s = self._record.duration_s
        # Not before the first message: until then a retry is possible, and the status of a call
        # that fails can still become an HTTP status.
        received = await self._attempt.initial_metadata()
        await self._context.send_initial_metadata(
            response_metadata(received, served_by=self._attempt.upstream.address)
        )
        read, write = self._attempt.read, self._context.write
        touch, record = self._patience.touch, self._record
        while message is not None:
            await write(message)
            record.messages += 1
            touch()
            message = await read()

    def _judge(self, outcome: Outcome) -> None:
        """Tell the pool what this says of the backend."""
        assert self._attempt is not None
        self._record.attempt_ended(outcome.code.name)
        upstream = self._attempt.upstream
        if outcome.is_lost and self._record.messages:
            self._forwarding.metrics.lost(upstream.address)
        if outcome.is_sound is not None:
            self._forwarding.pool.judge(upstream, is_sound=outcome.is_sound)

    def _refuse(self, error: ChatterboxError) -> None:
        """Answer with an error of our own."""
        self._record.reason = error.reason
        status = status_of(error, request_id=self._record.request_id)
        trailing = (*status.trailing_metadata, (REQUEST_ID_KEY, self._record.request_id))
        if isinstance(error, Overloaded):
            pushback_ms = round(error.retry_after_s * 1000)
            trailing = (*trailing, (retry.PUSHBACK_KEY, str(pushback_ms)))
        self._answer(Outcome(code_of(error), status.details, trailing))

    def _answer(self, outcome: Outcome) -> None:
        """Let the call end with this status when `run` returns."""
        self._record.code = outcome.code
        self._context.set_code(outcome.code)
        self._context.set_details(outcome.details)
        self._context.set_trailing_metadata(outcome.trailing)

    def _end_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close()
        self._record.attempt_ended("CANCELLED")  # unless its own status is known

    def _departure(self) -> grpc.StatusCode:
        remaining_s = self._context.time_remaining()
        is_late = remaining_s is not None and remaining_s <= 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED

    async def _read(self) -> object:
        message = await self._context.read()
        self._patience.touch()
        return message


def _ignore(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()
