"""Gain: louder or softer, and rounded where it would be too loud."""

import numpy as np
from numpy.typing import NDArray

MIN_GAIN_DB, MAX_GAIN_DB = -96.0, 16.0
_KNEE = 0.8  # from here on what is made louder is bent, so that it never reaches 1


def amplified(samples: NDArray[np.float32], gain_db: float) -> NDArray[np.float32]:
    """The samples (n,) by `gain_db`. Made louder, peaks above 0.8 are rounded and stay below 1.

    Each sample for itself: nothing is remembered, so that a stream may be cut anywhere. At 0 dB and
    below nothing is bent.
    """
    if gain_db == 0:
        return samples
    louder = samples * np.float32(10 ** (gain_db / 20))
    if gain_db < 0:
        return louder
    size = np.abs(louder)
    bent = _KNEE + (1 - _KNEE) * np.tanh((size - _KNEE) / (1 - _KNEE))
    rounded: NDArray[np.float32] = np.where(size > _KNEE, np.copysign(bent, louder), louder)
    return rounded.astype(np.float32)
