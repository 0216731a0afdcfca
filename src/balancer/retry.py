"""Whether a call that failed before it was answered is tried again, and when. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from grpc import StatusCode

REPLAY_BYTES = 64 * 1024  # of request messages kept for another attempt
RESUME_BYTES = 1024 * 1024  # of those that speech may still need, should its server be lost
BACKOFF_S = 0.025  # before the first retry, doubled before each further one
MAX_PUSHBACK_S = 1.0  # a backend that asks for more is answering the client
BUDGET_SHARE = 0.5  # of the running calls that may be retries
BUDGET_MINIMUM = 64  # whatever the share: a burst on a dead backend must find its way

PUSHBACK_KEY = "grpc-retry-pushback-ms"
OVERLOADED = "OVERLOADED"


@dataclass(slots=True)
class RetryBudget:
    """How many of the running calls are retries: bounded, or retries would feed an outage."""

    running: int = 0
    retrying: int = 0

    @property
    def allows_one_more(self) -> bool:
        """Whether another call may be tried again now."""
        return self.retrying < max(BUDGET_MINIMUM, BUDGET_SHARE * self.running)


def may_retry(code: StatusCode, reason: str) -> bool:
    """Whether this failure says that nothing was done and that another backend may do it.

    `reason` is that of the status' ErrorInfo, "" if there is none.
    """
    if code is StatusCode.UNAVAILABLE:
        return True
    return code is StatusCode.RESOURCE_EXHAUSTED and reason == OVERLOADED


def delay_s(
    retries_made: int, trailing: Iterable[tuple[str, str | bytes]], rng: Random
) -> float | None:
    """How long to wait before the next attempt; None when the backend forbids one.

    `trailing` is the metadata of the failed attempt, where a backend may push back (gRFC A6).
    """
    for key, value in trailing:
        if key == PUSHBACK_KEY:
            pushback_s = _seconds(value)
            is_bearable = pushback_s is not None and 0 <= pushback_s <= MAX_PUSHBACK_S
            return pushback_s if is_bearable else None
    return BACKOFF_S * float(2**retries_made) * rng.uniform(0.8, 1.2)


def _seconds(milliseconds: str | bytes) -> float | None:
    try:
        return int(milliseconds) / 1000
    except ValueError:
        return None
