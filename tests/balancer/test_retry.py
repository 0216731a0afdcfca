"""When a failed call is tried again: the decisions alone."""

from random import Random

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from balancer.retry import BUDGET_MINIMUM, RetryBudget, delay_s, may_retry


@pytest.mark.parametrize("code", list(StatusCode))
def test_only_what_another_backend_may_do_is_tried_again(code: StatusCode) -> None:
    assert may_retry(code, "") is (code is StatusCode.UNAVAILABLE)


def test_a_full_backend_is_not_the_last_word() -> None:
    assert may_retry(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert not may_retry(StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")


@given(st.integers(0, 4), st.integers())
def test_the_wait_doubles(retries: int, seed: int) -> None:
    wait_s = delay_s(retries, (), Random(seed))
    assert wait_s is not None
    assert 0.8 <= wait_s / (0.025 * 2**retries) <= 1.2


@pytest.mark.parametrize(
    ("pushback", "wait_s"),
    [("0", 0.0), ("250", 0.25), ("1000", 1.0), ("-1", None), ("5000", None), ("soon", None)],
)
def test_a_backend_may_push_back(pushback: str, wait_s: float | None) -> None:
    assert delay_s(0, (("grpc-retry-pushback-ms", pushback),), Random(1)) == wait_s


def test_retries_are_bounded_but_a_burst_finds_its_way() -> None:
    assert RetryBudget(running=1, retrying=BUDGET_MINIMUM - 1).allows_one_more
    assert not RetryBudget(running=1, retrying=BUDGET_MINIMUM).allows_one_more
    assert RetryBudget(running=400, retrying=199).allows_one_more
    assert not RetryBudget(running=400, retrying=200).allows_one_more
