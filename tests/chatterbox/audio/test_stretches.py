"""A source is cut in the same places however it arrives, and little of it is held."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.clip import Clip
from chatterbox.audio.stretches import (
    LISTENING_HZ,
    TOKEN_SAMPLES,
    Stretch,
    StretchCutter,
)
from chatterbox.errors import InvalidRequest

NOISE = np.random.default_rng(3).uniform(-0.5, 0.5, 30 * 48_000).astype(np.float32)


def cut(samples: np.ndarray, rate: int, sizes: list[int]) -> list[Stretch]:
    cutter, stretches, start = StretchCutter(rate), [], 0
    for size in [*sizes, len(samples)]:
        stretches += cutter.push(Clip(samples[start : start + size], rate))
        start += size
    return [*stretches, *cutter.finish()]


@given(
    length=st.integers(1_600, len(NOISE)),
    rate=st.sampled_from([16_000, 48_000]),
    sizes=st.lists(st.integers(0, 100_000), max_size=20),
)
def test_the_pieces_change_nothing_and_nothing_is_lost(
    length: int, rate: int, sizes: list[int]
) -> None:
    length = max(length, rate // 10)
    whole, pieces = cut(NOISE[:length], rate, []), cut(NOISE[:length], rate, sizes)
    assert [(s.start, s.end, s.is_last) for s in whole] == [
        (s.start, s.end, s.is_last) for s in pieces
    ]
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one.samples, other.samples)
    assert [s.start for s in whole[1:]] == [s.end for s in whole[:-1]]
    assert [s.is_last for s in whole] == [False] * (len(whole) - 1) + [True]
    own = np.concatenate([s.own for s in whole])
    assert len(own) == pytest.approx(length * LISTENING_HZ / rate, abs=1)
    if rate == LISTENING_HZ:
        assert np.array_equal(own, NOISE[:length])


def test_what_is_held_does_not_grow() -> None:
    cutter, second = StretchCutter(LISTENING_HZ), Clip(NOISE[:LISTENING_HZ], LISTENING_HZ)
    held_s = []
    for _ in range(600):
        cutter.push(second)
        held_s.append(cutter.held_s)
    assert max(held_s) < 13.0
    assert cutter.taken_s == 600.0


def test_every_stretch_is_heard_in_what_lies_around_it() -> None:
    stretches = cut(NOISE[: 20 * LISTENING_HZ], LISTENING_HZ, [])
    for stretch in stretches[:-1]:
        assert stretch.heard_to == stretch.end + 25
        assert stretch.heard_from == max(0, stretch.start - 200)
        assert len(stretch.samples) >= (stretch.heard_to - stretch.heard_from) * TOKEN_SAMPLES


@pytest.mark.parametrize("samples", [0, 1, 1_599])
def test_next_to_nothing_is_refused(samples: int) -> None:
    cutter = StretchCutter(LISTENING_HZ)
    cutter.push(Clip(NOISE[:samples], LISTENING_HZ))
    with pytest.raises(InvalidRequest) as caught:
        cutter.finish()
    assert caught.value.reason == "TOO_SHORT"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    samples = np.array([0.0, wrong], np.float32)
    with pytest.raises(InvalidRequest, match="not numbers"):
        StretchCutter(LISTENING_HZ).push(Clip(samples, LISTENING_HZ))


def test_an_odd_rate_costs_no_memory() -> None:
    """A kernel between such rates would have more than a hundred million values."""
    (stretch,) = cut(NOISE[:96_001], 96_001, [])
    assert len(stretch.own) == pytest.approx(LISTENING_HZ, abs=1)
