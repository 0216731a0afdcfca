"""The average holds, bursts are bounded, and debts are paid in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.process.auth.bucket import TokenBucket

capacities = st.integers(1, 10_000)
rates = st.floats(0.01, 1_000)
takings = st.lists(st.tuples(st.floats(0, 1_000), st.integers(0, 5_000)), max_size=40)


@given(capacities, rates, takings)
def test_nobody_gets_more_than_the_average_a_full_bucket_and_one_taking(
    capacity: int, per_s: float, takings: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(capacity, per_s=per_s, now_s=0.0)
    now_s, taken = 0.0, 0
    for pause_s, amount in takings:
        now_s += pause_s
        if bucket.wait_s(now_s) == 0:
            bucket.take(amount, now_s)
            taken += amount
    largest = max((amount for _, amount in takings), default=0)
    assert taken <= (capacity + per_s * now_s + largest) * (1 + 1e-9)


@given(capacities, rates, st.integers(0, 100_000))
def test_whoever_waits_as_long_as_told_gets_in_and_not_much_sooner(
    capacity: int, per_s: float, amount: int
) -> None:
    bucket = TokenBucket(capacity, per_s=per_s, now_s=5.0)
    bucket.take(amount, 5.0)
    wait_s = bucket.wait_s(5.0)
    assert bucket.wait_s(5.0 + wait_s) == pytest.approx(0.0, abs=1e-6)
    if wait_s > 0:
        assert bucket.wait_s(5.0 + wait_s * 0.99) > 0


@given(capacities, rates, st.floats(0, 1e6))
def test_a_bucket_is_never_fuller_than_full(capacity: int, per_s: float, pause_s: float) -> None:
    bucket = TokenBucket(capacity, per_s=per_s, now_s=0.0)
    assert bucket.is_full(0.0)
    assert bucket.level(pause_s) == capacity
    bucket.take(1, pause_s)
    assert not bucket.is_full(pause_s)
    assert bucket.is_full(pause_s + 1.01 / per_s)


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = TokenBucket(10, per_s=1.0, now_s=100.0)
    bucket.take(10, 100.0)
    bucket.take(0, 50.0)
    assert bucket.level(100.0) == 0.0


def test_a_text_larger_than_the_bucket_is_let_in_and_owed() -> None:
    bucket = TokenBucket(60, per_s=1.0, now_s=0.0)
    assert bucket.wait_s(0.0) == 0.0
    bucket.take(100, 0.0)
    assert bucket.wait_s(0.0) == pytest.approx(41.0)
