"""The streaming resampler: the right sound, and the same however it is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.encode import SAMPLE_RATES_HZ
from chatterbox.audio.resampler import Resampler

RATE_HZ = 24_000
RATES_HZ = [rate for rate in SAMPLE_RATES_HZ if rate != RATE_HZ]


def tone(pitch_hz: float, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    moments = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.sin(2 * np.pi * pitch_hz * moments).astype(np.float32)


def resampled(samples: np.ndarray, to_hz: int, cuts: list[int] | None = None) -> np.ndarray:
    resampler = Resampler(RATE_HZ, to_hz)
    edges = [0, *sorted(cuts or []), len(samples)]
    pieces = [resampler.push(samples[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*pieces, resampler.finish()])


@pytest.mark.parametrize("to_hz", RATES_HZ)
def test_a_tone_stays_the_tone_it_was(to_hz: int) -> None:
    made = resampled(tone(1000, RATE_HZ), to_hz)
    assert len(made) == to_hz // 2 + to_hz % 2
    inner = slice(to_hz // 50, -(to_hz // 50))  # the ends have nothing beyond them to go by
    np.testing.assert_allclose(made[inner], tone(1000, to_hz, 0.51)[: len(made)][inner], atol=1e-3)


@pytest.mark.parametrize("to_hz", [8_000, 11_025, 16_000])
def test_what_the_lower_rate_cannot_hold_is_gone(to_hz: int) -> None:
    made = resampled(tone(to_hz * 0.55, RATE_HZ), to_hz)
    assert np.abs(made[to_hz // 50 : -(to_hz // 50)]).max() < 1e-3


@pytest.mark.parametrize("to_hz", RATES_HZ)
@given(cuts=st.lists(st.integers(0, 5_000), max_size=8))
def test_no_cut_changes_a_bit(to_hz: int, cuts: list[int]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 5_000).astype(np.float32)
    assert resampled(noise, to_hz, cuts).tobytes() == resampled(noise, to_hz).tobytes()


@given(length=st.integers(0, 700), to_hz=st.sampled_from(RATES_HZ))
def test_the_length_is_exact(length: int, to_hz: int) -> None:
    assert len(resampled(np.ones(length, np.float32), to_hz)) == -(-length * to_hz // RATE_HZ)
