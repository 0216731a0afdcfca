"""Backends that fail call after call: when they are left alone, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.outliers import OutlierRules, Record, failed, may_eject, succeeded

RULES = OutlierRules()


def after(events: str, record: Record = Record(), *, now_s: float = 0.0) -> Record:  # noqa: B008
    """After failures (x) and sound answers (.), all at one moment."""
    for event in events:
        if event == "x":
            record = failed(record, now_s=now_s, may_eject=True, rules=RULES)
        else:
            record = succeeded(record, now_s=now_s, rules=RULES)
    return record


@pytest.mark.parametrize(
    ("events", "is_ejected"),
    [("", False), ("xx", False), ("xx.xx", False), ("xxx", True), ("..x.xxx", True)],
)
def test_three_failures_in_a_row_eject(events: str, *, is_ejected: bool) -> None:
    assert after(events).is_ejected(0.0) is is_ejected


def test_an_ejection_ends() -> None:
    record = after("xxx")
    assert record.is_ejected(9.9)
    assert not record.is_ejected(10.0)


def test_each_further_ejection_is_longer_up_to_a_bound() -> None:
    record, now_s, lengths_s = Record(), 0.0, []
    for _ in range(40):
        record = after("xxx", record, now_s=now_s)
        lengths_s.append(record.ejected_until_s - now_s)
        now_s = record.ejected_until_s
    assert lengths_s[:3] == [10.0, 20.0, 30.0]
    assert max(lengths_s) == lengths_s[-1] == 300.0


def test_good_conduct_is_forgiven() -> None:
    record = after("xxx")
    assert succeeded(record, now_s=69.9, rules=RULES).ejections == 1
    assert succeeded(record, now_s=70.0, rules=RULES).ejections == 0


def test_failures_of_calls_that_were_already_running_add_nothing() -> None:
    record = after("xxx")
    assert after("xxxxxx", record, now_s=5.0) == record


def test_who_may_not_be_ejected_is_as_soon_as_it_may() -> None:
    record = Record()
    for _ in range(10):
        record = failed(record, now_s=0.0, may_eject=False, rules=RULES)
    assert not record.is_ejected(0.0)
    assert failed(record, now_s=0.0, may_eject=True, rules=RULES).is_ejected(0.0)


def test_the_last_one_and_the_larger_half_stay() -> None:
    def may(ejected: int, total: int, others: int) -> bool:
        return may_eject(ejected=ejected, total=total, others_eligible=others, rules=RULES)

    assert not may(0, 1, 0)
    assert may(0, 2, 1)
    assert not may(1, 2, 0)
    assert not may(0, 2, 0)  # the other one is unhealthy
    assert may(1, 4, 3)
    assert not may(2, 4, 2)


@given(st.lists(st.tuples(st.sampled_from("x."), st.floats(0, 50), st.booleans()), max_size=60))
def test_nobody_is_ever_ejected_for_longer_than_the_bound(
    events: list[tuple[str, float, bool]],
) -> None:
    record, now_s = Record(), 0.0
    for event, pause_s, may in events:
        now_s += pause_s
        was_ejected = record.is_ejected(now_s)
        if event == "x":
            record = failed(record, now_s=now_s, may_eject=may, rules=RULES)
        else:
            record = succeeded(record, now_s=now_s, rules=RULES)
        assert record.ejected_until_s <= now_s + RULES.max_s
        assert was_ejected or may or not record.is_ejected(now_s)
        assert 0 <= record.failures <= RULES.failures
