"""When words are said: told once, in order, the same streamed in any way, and true."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.engine.words import WordClock
from chatterbox.text.words import WordSpan

pocketsphinx = pytest.importorskip("pocketsphinx")
soxr = pytest.importorskip("soxr")


SHORT = "The quick brown fox jumps over the lazy dog."
SENTENCES = (  # that the aligner can do: it fails where it hears another word
    SHORT,
    "Please close the window before you leave the room.",
    "We walked along the river until it was dark.",
)
LONG = (
    "The quick brown fox jumps over the lazy dog, and then it runs away as fast as it can, "
    "because the dog has woken up and is not at all as lazy as everybody had thought."
)


def bare(text: str) -> list[str]:
    return [word.strip(".,") for word in text.split()]


async def test_every_word_is_told_once_in_its_place(tiny_engine: Any) -> None:
    heard = await tiny_engine.speak(replace(tiny_engine.utterance(LONG), timed=True))
    assert [word.text for word in heard.words] == LONG.split()
    edges = [edge for word in heard.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0.0
    assert edges[-1] <= len(heard.samples) / 24_000


async def test_nobody_is_told_who_has_not_asked(tiny_engine: Any) -> None:
    assert (await tiny_engine.speak(tiny_engine.utterance(SHORT))).words == []


async def test_times_are_those_of_an_independent_aligner(tiny_engine: Any) -> None:
    """Measured on a dozen sentences: median 0.01 s, nine in ten below 0.05 s."""
    misses: list[float] = []
    for text in SENTENCES:
        heard = await tiny_engine.speak(replace(tiny_engine.utterance(text), timed=True))
        truth = aligned(heard.samples, bare(text))
        assert len(truth) == len(heard.words)
        pairs = zip(heard.words, truth, strict=True)
        misses += [abs(word.start_s - start_s) for word, start_s in pairs]
    assert np.median(misses) <= 0.08


def aligned(samples: np.ndarray, words: list[str]) -> list[float]:
    """When each word begins, in seconds, as pocketsphinx finds."""
    pcm = np.clip(soxr.resample(samples, 24_000, 16_000), -1, 1) * 32_767
    decoder = pocketsphinx.Decoder(loglevel="FATAL", samprate=16_000)
    decoder.set_align_text(" ".join(words).lower())
    for is_second in (False, True):  # words, then their states
        if is_second:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm.astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
    entries = decoder.get_alignment().words()
    return [entry.start / 100 for entry in entries if entry.name[0] not in "<[("]


async def test_a_resumed_utterance_tells_the_words_that_are_left(tiny_engine: Any) -> None:
    whole = await tiny_engine.speak(replace(tiny_engine.utterance(LONG), timed=True))
    for bookmark in whole.bookmarks[:4]:
        rest = await tiny_engine.speak(
            replace(tiny_engine.utterance(LONG), timed=True, begun=bookmark)
        )
        assert [word.text for word in rest.words] == [word.text for word in whole.words][
            -len(rest.words) :
        ]
        late = [
            abs(one.start_s - other.start_s)
            for one, other in zip(rest.words[3:], whole.words[-len(rest.words) :][3:], strict=True)
        ]
        assert np.median(late) <= 0.04  # of the first ones nobody knows where it looked


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_where_chunks_end_hardly_matters(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    places, tokens = 40, sum(sizes)
    steps = np.minimum(np.arange(tokens) * places // tokens, places - 1)
    rows = np.full((tokens, places), 1e-4, np.float32)
    rows[np.arange(tokens), steps] = 1.0
    rows *= rng.uniform(0.9, 1.1, rows.shape).astype(np.float32)
    spans = [WordSpan(str(number), 4 * number, 4 * number + 3) for number in range(10)]

    def told(ends: list[int]) -> list[str]:
        clock = WordClock(spans)
        clock.look(rows)
        words = [clock.until(end, is_last=end == tokens) for end in ends]
        return [word.text for part in words for word in part]

    ends = list(np.cumsum(sizes))
    assert told([int(end) for end in ends]) == told([tokens]) == [str(n) for n in range(10)]
