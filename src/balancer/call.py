"""ForwardedCall: one call of a client, from its first byte to its status."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
import structlog

from balancer import retry
from balancer.attempt import Attempt, Outcome
from balancer.lifeline import Lifeline
from balancer.metadata import is_transcoded, request_metadata, response_metadata, resume_metadata
from balancer.metrics import BalancerMetrics
from balancer.patience import Patience
from balancer.peek import can_survive, is_worth_a_look, wish_of
from balancer.policy import Wish
from balancer.pool import Pool
from balancer.record import CallRecord
from balancer.requests import Requests
from balancer.retry import RetryBudget
from chatterbox.errors import BackendLost, ChatterboxError, NoBackend, Overloaded
from chatterbox.process.logs import bind_request_id
from chatterbox.process.request_ids import REQUEST_ID_KEY, request_id_of
from chatterbox.process.status import code_of, internal_error, status_of
from chatterbox.process.tracing import Tracer

# No message of any kind. Envoy's JSON transcoder ends an HTTP answer that has begun as if it were
# whole, unless it meets what it cannot read: then it resets the stream, which every client sees.
# A wire type that does not exist; of a field that is cut short, the JSON side makes an empty object.
MALFORMED = b"\x0f"

BREAK_OFF_S = 1.0  # that a client who does not read is waited for
RESUME_WITHIN_S = 10.0  # of the loss, a backend must be found that goes on
RESUME_LOOK_S = 0.1
RESUME_INVALID = "RESUME_INVALID"  # why a model server does not go on

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
        self._lifeline = Lifeline(is_wanted=can_survive(method))
        keep_bytes = retry.RESUME_BYTES if self._lifeline.is_wanted else retry.REPLAY_BYTES
        self._requests = Requests(self._read, keep_bytes=keep_bytes)
        self._wish = Wish()
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
            await self._break_off()
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
        self._wish = wish_of(self._method, first)
        message = await self._first_message()
        if message is not None:
            await self._relay(message)
        assert self._attempt is not None
        outcome = await self._attempt.outcome()
        self._judge(outcome)
        if outcome.is_lost or (self._record.resumes and outcome.reason == RESUME_INVALID):
            when = "while" if self._record.messages else "before"
            raise BackendLost(f"the model server was lost {when} it answered")
        if not outcome.is_ok:
            await self._break_off()
        self._answer(outcome)

    async def _break_off(self) -> None:
        """Let an HTTP client see that an answer that has begun is not whole."""
        if self._record.messages and is_transcoded(self._metadata):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._context.write(MALFORMED), BREAK_OFF_S)

    async def _first_message(self) -> bytes | None:
        """From the first backend that gives one; None when an attempt's end is the answer."""
        budget = self._forwarding.budget
        avoid: list[str] = []
        try:
            while True:
                attempt = self._attempt = await self._open(avoid)
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

    async def _open(self, avoid: list[str]) -> Attempt:
        place = await self._forwarding.pool.place(self._wish, avoid=avoid)
        metadata = self._record.attempt(place.upstream.address, self._metadata)
        if self._lifeline.is_wanted:
            metadata += resume_metadata(goes_on=self._lifeline.footer is not None)
        try:
            return Attempt(
                place,
                self._method,
                metadata=metadata,
                timeout_s=self._context.time_remaining(),
                requests=self._requests,
                begun=self._lifeline.footer,
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
        while message is not None:
            await self._pass_on(message)
            message = await self._attempt.read()
            if message is None and self._lifeline.footer is not None:
                message = await self._going_on()

    async def _pass_on(self, message: bytes) -> None:
        plain, footer = self._lifeline.take_off(message)
        if plain is not None:
            await self._context.write(plain)
            self._record.messages += 1
            self._lifeline.passed(footer)
            if footer is not None:
                self._requests.acknowledge(footer.requests_taken)
        self._patience.touch()

    async def _going_on(self) -> bytes | None:
        """The next message from another backend if the answer has broken off, None if it has ended.

        Raises BackendLost when no other can be had.
        """
        assert self._attempt is not None
        give_up_s = asyncio.get_running_loop().time() + RESUME_WITHIN_S
        outcome, message = await self._attempt.outcome(), None
        while message is None and self._requests.can_go_on and self._lifeline.saves(outcome):
            self._judge(outcome)
            lost = self._attempt.upstream
            self._end_attempt()
            self._record.resumes += 1
            self._forwarding.metrics.resumed(lost.address)
            self._lifeline.resumes()
            self._attempt = await self._open_soon([lost.id], give_up_s)
            message = await self._attempt.read()
            outcome = await self._attempt.outcome() if message is None else outcome
        return message

    async def _open_soon(self, avoid: list[str], give_up_s: float) -> Attempt:
        """An attempt as soon as a backend serves: the one that was lost may be back in a moment."""
        while True:
            try:
                return await self._open(avoid)
            except (NoBackend, Overloaded) as error:
                if asyncio.get_running_loop().time() > give_up_s:
                    raise BackendLost(f"the model server was lost, and {error.message}") from error
                await asyncio.sleep(RESUME_LOOK_S)

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
