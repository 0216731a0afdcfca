"""Fades and gaps: putting stretches of sound together without clicks."""

import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip


def fade_in(clip: Clip, *, seconds: float) -> Clip:
    """The clip rising from silence over its first `seconds`, or over all of it if shorter."""
    ramp = _rise(min(round(seconds * clip.sample_rate_hz), len(clip)))
    samples = clip.samples.copy()
    samples[: len(ramp)] *= ramp
    return Clip(samples, clip.sample_rate_hz)


def fade_out(clip: Clip, *, seconds: float) -> Clip:
    """The clip falling to silence over its last `seconds`, or over all of it if shorter."""
    ramp = _rise(min(round(seconds * clip.sample_rate_hz), len(clip)))[::-1]
    samples = clip.samples.copy()
    samples[len(samples) - len(ramp) :] *= ramp
    return Clip(samples, clip.sample_rate_hz)


def silence(sample_rate_hz: int, *, seconds: float) -> Clip:
    """A clip of nothing."""
    return Clip(np.zeros(round(seconds * sample_rate_hz), np.float32), sample_rate_hz)


def join(*clips: Clip) -> Clip:
    """The clips one after the other. At least one, all of one sample rate."""
    rates = {clip.sample_rate_hz for clip in clips}
    assert len(rates) == 1, f"clips of one rate can be joined, got {sorted(rates)} Hz"
    return Clip(np.concatenate([clip.samples for clip in clips]), rates.pop())


def _rise(length: int) -> NDArray[np.float32]:
    """A raised cosine from near 0 to near 1."""
    steps = (np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)
    rise: NDArray[np.float32] = (0.5 - 0.5 * np.cos(np.pi * steps)).astype(np.float32)
    return rise
