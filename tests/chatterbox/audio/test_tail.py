"""What is cut behind the last word, and above all what is not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.tail import KEPT_S, TailTrim

RATE_HZ = 24_000


def sound(seconds: float, level: float = 0.3) -> np.ndarray:
    moments = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * 200 * moments)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, 1e-4, round(seconds * RATE_HZ))
    return noise.astype(np.float32)


def trimmed(samples: np.ndarray, cuts: list[int] | None = None) -> np.ndarray:
    trim = TailTrim(RATE_HZ)
    edges = [0, *sorted(cuts or []), len(samples)]
    pieces = [trim.push(samples[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*pieces, trim.finish()])


WORDS = np.concatenate([silence(0.1), sound(0.5), silence(0.3), sound(0.4)])
MURMUR = sound(0.15, level=0.01)


@pytest.mark.parametrize(
    "tail",
    [
        silence(2.0),
        np.concatenate([silence(0.3), MURMUR]),
        np.concatenate([silence(0.3), MURMUR, silence(1.5)]),
        np.concatenate([silence(0.25), MURMUR, silence(0.25), MURMUR, silence(0.1)]),
    ],
    ids=["silence", "murmur", "murmur and silence", "two murmurs"],
)
def test_silence_and_murmurs_behind_the_last_word_go(tail: np.ndarray) -> None:
    kept = trimmed(np.concatenate([WORDS, tail]))
    np.testing.assert_array_equal(kept[: len(WORDS)], WORDS)
    rest = kept[len(WORDS) :]
    assert np.abs(rest).max() < 1e-3
    # What was silent for so long that it had been given already cannot be taken back.
    assert len(rest) <= max(round((KEPT_S + 0.02) * RATE_HZ), len(tail) - round(0.7 * RATE_HZ))


@pytest.mark.parametrize(
    "ending",
    [
        sound(0.3),  # to the last sample
        np.concatenate([silence(0.7), sound(0.1, level=0.1)]),  # a short "no" after a pause
        np.concatenate([silence(0.3), sound(0.5, level=0.01)]),  # a whole word, whispered
        np.concatenate([sound(0.2, level=0.01), silence(0.05)]),  # a soft "s" right at the end
        np.concatenate([silence(0.15), sound(0.1, level=0.01)]),  # the "t" of "wait"
    ],
    ids=["no end", "short word", "whisper", "fricative", "stop"],
)
def test_no_word_is_cut(ending: np.ndarray) -> None:
    speech = np.concatenate([WORDS, ending])
    np.testing.assert_array_equal(trimmed(speech)[: len(speech)], speech)


def test_a_murmur_in_the_middle_stays() -> None:
    speech = np.concatenate([WORDS, silence(0.3), MURMUR, silence(0.2), sound(0.4)])
    np.testing.assert_array_equal(trimmed(speech), speech)


def test_what_is_held_is_bounded() -> None:
    trim = TailTrim(RATE_HZ)
    trim.push(sound(0.5))
    for _ in range(20):
        trim.push(silence(0.5))
        assert len(trim.state()) < 4 * RATE_HZ


@given(cuts=st.lists(st.integers(0, len(WORDS)), max_size=8))
def test_no_cut_changes_a_sample(cuts: list[int]) -> None:
    speech = np.concatenate([WORDS, silence(0.3), MURMUR, silence(0.6)])
    np.testing.assert_array_equal(trimmed(speech, cuts), trimmed(speech))


@given(cut=st.integers(0, 40_000))
def test_another_goes_on_where_it_was(cut: int) -> None:
    speech = np.concatenate([WORDS, silence(0.3), MURMUR, silence(0.1)])
    first, second = TailTrim(RATE_HZ), TailTrim(RATE_HZ)
    before = first.push(speech[:cut])
    second.restore(first.state())
    after = np.concatenate([second.push(speech[cut:]), second.finish()])
    np.testing.assert_array_equal(np.concatenate([before, after]), trimmed(speech))
