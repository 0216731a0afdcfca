"""The clock of a listener: when the sound runs out, and whose fault that was."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.playback import PlaybackClock


def test_audio_in_time_is_heard_without_a_gap() -> None:
    clock = PlaybackClock()
    assert clock.delivered(2.0, now_s=10.0, owed_since_s=0.0) == 0.0
    assert clock.delivered(1.0, now_s=11.5, owed_since_s=10.0) == 0.0
    assert clock.runs_dry_s == 13.0
    assert (clock.underrun_count, clock.underrun_s) == (0, 0.0)


def test_audio_too_late_is_an_underrun_and_shifts_what_follows() -> None:
    clock = PlaybackClock()
    clock.delivered(1.0, now_s=0.0, owed_since_s=0.0)
    assert clock.delivered(1.0, now_s=1.25, owed_since_s=0.0) == 0.25
    assert clock.delivered(1.0, now_s=2.25, owed_since_s=0.0) == 0.0
    assert (clock.underrun_count, clock.underrun_s, clock.runs_dry_s) == (1, 0.25, 3.25)


def test_the_first_audio_is_never_late() -> None:
    clock = PlaybackClock()
    assert clock.delivered(1.0, now_s=99.0, owed_since_s=0.0) == 0.0
    assert clock.underrun_count == 0


def test_a_prebuffer_forgives_as_much_lateness() -> None:
    clock = PlaybackClock(prebuffer_s=0.5)
    clock.delivered(1.0, now_s=0.0, owed_since_s=0.0)
    assert clock.delivered(1.0, now_s=1.4, owed_since_s=0.0) == 0.0
    assert clock.delivered(1.0, now_s=2.75, owed_since_s=0.0) == 0.25


def test_who_had_heard_everything_before_more_was_owed_begins_anew() -> None:
    clock = PlaybackClock()
    clock.delivered(1.0, now_s=0.0, owed_since_s=0.0)
    assert clock.delivered(1.0, now_s=60.0, owed_since_s=59.0) == 0.0, "a pause between turns"
    assert (clock.underrun_count, clock.runs_dry_s) == (0, 61.0)


def test_after_a_stop_nothing_is_owed() -> None:
    clock = PlaybackClock()
    clock.delivered(1.0, now_s=0.0, owed_since_s=0.0)
    clock.stop()
    assert clock.runs_dry_s is None
    assert clock.delivered(1.0, now_s=5.0, owed_since_s=0.0) == 0.0
    assert clock.underrun_count == 0


SECONDS = st.floats(0.0, 10.0)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1))
def test_playing_and_silence_together_are_the_time_that_passes(
    deliveries: list[tuple[float, float]],
) -> None:
    """Whoever owes from the start: heard + silent = from the first audio to the end."""
    clock = PlaybackClock()
    moments = list(itertools.accumulate(pause_s for pause_s, _ in deliveries))
    late = [
        clock.delivered(duration_s, now_s=now_s, owed_since_s=0.0)
        for now_s, (_, duration_s) in zip(moments, deliveries, strict=True)
    ]
    audio_s = sum(duration_s for _, duration_s in deliveries)
    assert clock.runs_dry_s == pytest.approx(moments[0] + audio_s + sum(late))
    assert clock.underrun_s == pytest.approx(sum(late))
    assert clock.underrun_count == sum(late_s > 0 for late_s in late)
