"""The whole way out: each step alone and all together, streamed and whole, cut and gone on with."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import Encoding
from chatterbox.audio.loudness import amplified
from chatterbox.audio.output import OutputChain, OutputFormat
from chatterbox.audio.watermark import Watermark

RATE_HZ = 24_000
PLAIN = OutputFormat()
STEPS = {
    "nothing": PLAIN,
    "tempo": replace(PLAIN, speaking_rate=1.3),
    "rate down": replace(PLAIN, sample_rate_hz=8_000),
    "rate up": replace(PLAIN, sample_rate_hz=44_100),
    "gain": replace(PLAIN, volume_gain_db=9.0),
    "telephone": OutputFormat(
        encoding=Encoding.MULAW, sample_rate_hz=8_000, speaking_rate=0.8, volume_gain_db=-6.0
    ),
}


def speech(seconds: float = 1.2, seed: int = 5) -> np.ndarray:
    """Something with syllables: a low buzz that swells and fades five times a second."""
    moments = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 120 + 20 * np.sin(2 * np.pi * 0.7 * moments)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    noise = np.random.default_rng(seed).normal(0, 0.02, len(moments))
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 5 * moments)
    return (0.2 * swell * (buzz + noise)).astype(np.float32)


def said(chain: OutputChain, *utterances: np.ndarray, cuts: list[int] | None = None) -> bytes:
    return b"".join(pieces(chain, *utterances, cuts=cuts)) + chain.finish()


def pieces(
    chain: OutputChain, *utterances: np.ndarray, cuts: list[int] | None = None
) -> Iterator[bytes]:
    for samples in utterances:
        edges = [0, *sorted(min(cut, len(samples)) for cut in cuts or []), len(samples)]
        for a, b in pairwise(edges):
            yield chain.push(Clip(samples[a:b], RATE_HZ))
        yield chain.end_utterance()


@pytest.fixture(scope="module")
def watermark() -> Watermark:
    return Watermark.load()


@pytest.mark.parametrize("form", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("is_marked", [False, True], ids=["unmarked", "marked"])
@settings(max_examples=5)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=6))
def test_no_cut_changes_a_byte(
    form: OutputFormat, watermark: Watermark, cuts: list[int], *, is_marked: bool
) -> None:
    marker = watermark if is_marked else None
    whole = said(OutputChain(form, from_hz=RATE_HZ, marker=marker), speech(), speech(0.4, 6))
    chain = OutputChain(form, from_hz=RATE_HZ, marker=marker)
    assert said(chain, speech(), speech(0.4, 6), cuts=cuts) == whole


@pytest.mark.parametrize("form", STEPS.values(), ids=STEPS)
def test_every_utterance_is_as_long_as_it_should_be(form: OutputFormat) -> None:
    chain = OutputChain(form, from_hz=RATE_HZ)
    rate_hz = form.sample_rate_hz or RATE_HZ
    said(chain, speech(1.2), speech(0.4), speech(0.2))
    assert chain.heard == pytest.approx(1.8 / form.speaking_rate * rate_hz, abs=6)
    assert chain.sent == chain.heard


def test_without_any_wish_the_samples_are_the_models_own() -> None:
    made = said(OutputChain(PLAIN, from_hz=RATE_HZ), speech())
    np.testing.assert_allclose(np.frombuffer(made, "<i2") / 32_767, speech(), atol=2e-5)


def test_at_its_end_an_utterance_has_left_entirely() -> None:
    for form in STEPS.values():
        chain = OutputChain(form, from_hz=RATE_HZ)
        list(pieces(chain, speech()))
        assert chain.sent == chain.heard
        heard_s = chain.heard / chain.sample_rate_hz
        assert heard_s == pytest.approx(1.2 / form.speaking_rate, abs=1e-3)


def test_a_pause_is_silent_to_the_sample_and_no_tempo_stretches_it() -> None:
    chain = OutputChain(replace(PLAIN, speaking_rate=2.0), from_hz=RATE_HZ)
    before = b"".join(pieces(chain, speech()))
    heard = chain.heard
    assert chain.pause(1.5) == bytes(2 * 36_000)
    assert chain.heard == heard + 36_000
    assert len(before) == 2 * heard


@pytest.mark.parametrize("encoding", [Encoding.MP3, Encoding.OGG_OPUS, Encoding.FLAC])
def test_after_a_flush_everything_said_has_left(encoding: Encoding) -> None:
    chain = OutputChain(OutputFormat(encoding=encoding), from_hz=RATE_HZ)
    list(pieces(chain, speech()))
    spoken = chain.heard
    chain.flush()
    assert spoken <= chain.sent <= chain.heard <= spoken + RATE_HZ // 5


def test_what_is_dropped_is_not_heard() -> None:
    chain = OutputChain(PLAIN, from_hz=RATE_HZ)
    first = chain.push(Clip(np.concatenate([speech(), np.zeros(4_000, np.float32)]), RATE_HZ))
    chain.drop()
    assert first + chain.finish() == first
    assert len(first) == 2 * chain.heard


def test_louder_is_louder_and_never_beyond_the_end() -> None:
    quiet = np.linspace(-0.1, 0.1, 101, dtype=np.float32)
    np.testing.assert_allclose(amplified(quiet, 6.0206), 2 * quiet, rtol=1e-4)
    np.testing.assert_allclose(amplified(quiet, -6.0206), quiet / 2, rtol=1e-4)
    loud = np.linspace(-1, 1, 1001, dtype=np.float32)
    made = amplified(loud, 16.0)
    assert np.abs(made).max() <= 1
    assert np.all(np.diff(made) >= 0)
    np.testing.assert_array_equal(amplified(loud, 0.0), loud)


RESUMABLE = {
    "pcm": PLAIN,
    "wav": replace(PLAIN, encoding=Encoding.WAV),
    "telephone": replace(PLAIN, encoding=Encoding.ALAW, sample_rate_hz=8_000, volume_gain_db=3.0),
    "odd rate": replace(PLAIN, sample_rate_hz=22_050),
}


@pytest.mark.parametrize("form", RESUMABLE.values(), ids=RESUMABLE)
@pytest.mark.parametrize("is_marked", [False, True], ids=["unmarked", "marked"])
@settings(max_examples=8)
@given(cut=st.integers(0, 50_000))
def test_another_chain_goes_on_at_the_very_sample(
    form: OutputFormat, watermark: Watermark, cut: int, *, is_marked: bool
) -> None:
    marker = watermark if is_marked else None
    first = OutputChain(form, from_hz=RATE_HZ, marker=marker)
    second = OutputChain(form, from_hz=RATE_HZ, marker=marker)
    assert form.can_resume
    assert first.can_resume
    long, short = speech(2.2), speech(0.4, 6)
    before = b"".join(pieces(first, short)) + first.push(Clip(long[:cut], RATE_HZ))
    second.restore(first.state())
    assert len(second.state()) < 90_000
    later = (cut + len(long)) // 2
    between = second.push(Clip(long[cut:later], RATE_HZ))
    third = OutputChain(form, from_hz=RATE_HZ, marker=marker)
    third.restore(second.state())
    after = said(third, long[later:], short)
    whole = said(OutputChain(form, from_hz=RATE_HZ, marker=marker), short, long, short)
    assert before + between + after == whole


def test_between_utterances_hardly_anything_need_be_known(watermark: Watermark) -> None:
    chain = OutputChain(PLAIN, from_hz=RATE_HZ, marker=watermark)
    list(pieces(chain, speech()))
    assert len(chain.state()) < 100


@pytest.mark.parametrize("encoding", [Encoding.FLAC, Encoding.MP3, Encoding.OGG_OPUS])
def test_what_cannot_be_gone_on_with_says_so(encoding: Encoding) -> None:
    assert not OutputFormat(encoding=encoding).can_resume
    assert not OutputFormat(speaking_rate=1.1).can_resume


def test_what_somebody_has_said_keeps_its_silences() -> None:
    said = np.zeros(48_000, np.float32)
    said[:24_000] = 0.3 * np.sin(np.arange(24_000) / 10)
    trimmed, whole = (
        OutputChain(OutputFormat(), from_hz=24_000, trims_tails=trims) for trims in (True, False)
    )
    assert len(trimmed.push(Clip(said, 24_000)) + trimmed.finish()) < 2 * 30_000
    assert len(whole.push(Clip(said, 24_000)) + whole.finish()) == 2 * 48_000
