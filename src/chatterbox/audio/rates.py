"""Changing the sample rate of a clip on the CPU; loads no torch."""

import numpy as np
import soxr as soxr_library

from chatterbox.audio.clip import Clip


def soxr(clip: Clip, to_hz: int) -> Clip:
    """The clip at another rate, by SoX's high-quality resampler."""
    if clip.sample_rate_hz == to_hz:
        return clip
    samples = soxr_library.resample(clip.samples, clip.sample_rate_hz, to_hz, quality="HQ")
    wanted = int(np.ceil(len(clip) * to_hz / clip.sample_rate_hz))
    if len(samples) < wanted:  # the last sample may fall to rounding
        samples = np.pad(samples, (0, wanted - len(samples)))
    return Clip(np.ascontiguousarray(samples[:wanted], dtype=np.float32), to_hz)
