"""What each caller may use, and that remembering it is bounded."""

from contextlib import ExitStack

import pytest

from chatterbox.errors import LimitReached, Overloaded
from chatterbox.process.auth import allowances as module
from chatterbox.process.auth.allowances import Allowances
from chatterbox.process.auth.callers import Caller, Limits, Role


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowances(clock: Clock) -> Allowances:
    return Allowances(clock)


def caller(name: str = "a", **limits: int | None) -> Caller:
    return Caller(id=name, role=Role.USER, limits=Limits(**limits))


def test_streams_are_counted_for_each_caller(allowances: Allowances) -> None:
    two = caller(max_streams=2)
    with ExitStack() as held:
        held.enter_context(allowances.stream(two))
        held.enter_context(allowances.stream(two))
        with pytest.raises(LimitReached, match="2 streams"), allowances.stream(two):
            pass
        with allowances.stream(caller("b", max_streams=1)):
            pass
    with allowances.stream(two):
        pass


def test_a_stream_that_fails_gives_its_place_back(allowances: Allowances) -> None:
    one = caller(max_streams=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), allowances.stream(one):
            raise ZeroDivisionError


def test_text_beyond_the_limit_is_owed_and_the_refusal_says_until_when(
    allowances: Allowances, clock: Clock
) -> None:
    slow = caller(characters_per_minute=60)
    allowances.check_characters(slow)
    allowances.spend(slow, 90)
    with pytest.raises(LimitReached) as caught:
        allowances.check_characters(slow)
    assert caught.value.retry_after_s == pytest.approx(31)
    allowances.check_characters(caller("b", characters_per_minute=60))
    clock.now_s += caught.value.retry_after_s
    allowances.check_characters(slow)


def test_a_limit_that_changes_counts_at_once(allowances: Allowances) -> None:
    allowances.spend(caller(characters_per_minute=60), 90)
    allowances.check_characters(caller(characters_per_minute=600))
    allowances.spend(caller(characters_per_minute=60), 90)
    with pytest.raises(LimitReached):
        allowances.check_characters(caller(characters_per_minute=60))


def test_whoever_has_no_limit_is_not_remembered(allowances: Allowances) -> None:
    free = caller()
    allowances.spend(free, 10**9)
    allowances.check_characters(free)
    with ExitStack() as held:
        for _ in range(1_000):
            held.enter_context(allowances.stream(free))
    assert len(allowances) == 0


def test_looking_is_bounded_for_everybody_and_leaves_nothing_behind(
    allowances: Allowances,
) -> None:
    free, other = caller(), caller("b", max_streams=1)
    with ExitStack() as held:
        for _ in range(module.MAX_LOOKS):
            held.enter_context(allowances.look(free))
        with pytest.raises(LimitReached, match="only look"), allowances.look(free):
            pass
        with allowances.look(other), allowances.stream(other):
            pass
    with allowances.look(free):
        pass
    assert len(allowances) == 0


def test_callers_are_forgotten_when_there_are_too_many_and_they_owe_nothing(
    allowances: Allowances, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CALLERS", 10)
    for number in range(10):
        allowances.spend(caller(str(number), characters_per_minute=60), 60)
    with pytest.raises(Overloaded):
        allowances.check_characters(caller("one more", characters_per_minute=60))
    clock.now_s += 61
    allowances.check_characters(caller("one more", characters_per_minute=60))
    assert len(allowances) == 1
