"""Resampler: another sample rate, piece by piece, the same as all at once.

A windowed sinc of our own where SoX's would do but for two things: what it holds is a few samples
that are known from the input alone, so that another process can go on at any sample, and a block is
always computed in the same shape, so that the pieces change nothing, not even a rounding.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_ZERO_CROSSINGS = 24  # of the sinc on each side
_ROLLOFF = 0.92  # of the lower Nyquist frequency: what lies above fades out
_BETA = 9.0  # of the Kaiser window: about 90 dB down beyond
_BLOCK_S = 0.01  # computed at once; the latest sound waits for the end of its block


class Resampler:
    """One mono stream at another rate; n samples become ceil(n * to_hz / from_hz)."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._kernel, self.hop = _kernel(from_hz, to_hz)
        self.head = 0
        self.reach = (self._kernel.shape[0] - self.hop) // 2
        self._from_hz, self._to_hz = from_hz, to_hz
        self._held = np.zeros(self.reach, np.float32)
        self._taken = 0
        self._given = 0

    def push(self, samples: Samples) -> Samples:
        """The next samples in, those that are ready out."""
        self._taken += len(samples)
        self._held = np.concatenate([self._held, samples])
        size = self._kernel.shape[0]
        count = max(0, (len(self._held) - size) // self.hop + 1)
        if count == 0:
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._held, size)[:: self.hop][:count]
        # One product per block, all of one shape: BLAS rounds by shape.
        blocks = np.matmul(windows[:, None, :].astype(np.float64), self._kernel)
        self._held = self._held[count * self.hop :]
        ready: Samples = blocks.reshape(-1).astype(np.float32)
        self._given += len(ready)
        return ready

    def finish(self) -> Samples:
        """The rest. Nothing may be pushed afterwards."""
        wanted = -(-self._taken * self._to_hz // self._from_hz) - self._given
        rest = self.push(np.zeros(self.reach + self.hop, np.float32))
        return rest[:wanted]


@cache
def _kernel(from_hz: int, to_hz: int) -> tuple[NDArray[np.float64], int]:
    """(samples seen, samples made) of one block; how many samples of the input it stands for."""
    divisor = math.gcd(from_hz, to_hz)
    step_in, step_out = from_hz // divisor, to_hz // divisor
    blocks = math.ceil(_BLOCK_S * from_hz / step_in)
    size_in, size_out = step_in * blocks, step_out * blocks
    cutoff = min(1.0, to_hz / from_hz) * _ROLLOFF  # of the Nyquist frequency of the input
    reach = math.ceil(_ZERO_CROSSINGS / cutoff)
    moments = np.arange(size_out) * from_hz / to_hz  # of each sample made, in samples of the input
    places = np.arange(-reach, size_in + reach)
    distance = places[:, None] - moments
    inside = np.clip(1 - (distance / reach) ** 2, 0, None)
    window = np.where(np.abs(distance) <= reach, np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA), 0.0)
    kernel = cutoff * np.sinc(cutoff * distance) * window
    kernel /= kernel.sum(axis=0)  # a constant stays what it is
    return kernel, size_in
