"""Changing the sample rate, two ways, because the models were trained behind two resamplers.

`sinc` is a windowed sinc on the tensor's own device (S3Gen's path to 16 kHz); `soxr` is the
SoX resampler at high quality (how reference clips are read and how T3's prompt is made), which
`chatterbox.audio.rates` has without torch.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.audio.rates import soxr as soxr

_ZERO_CROSSINGS = 6  # of the sinc on each side
_ROLLOFF = 0.99  # of the lower Nyquist frequency


@functools.cache
def _sinc_kernels(from_hz: int, to_hz: int, device: torch.device) -> Tensor:
    """One filter per output phase: (to_hz, 1, taps), for rates without a common divisor."""
    cutoff = min(from_hz, to_hz) * _ROLLOFF
    reach = math.ceil(_ZERO_CROSSINGS * from_hz / cutoff)
    taps = np.arange(-reach, reach + from_hz) / from_hz
    # torchaudio rounds the phases to float32; a log mel near its floor shows the difference.
    phases = -(np.arange(to_hz, dtype=np.float32) / np.float32(to_hz))[:, None].astype(np.float64)
    t = np.clip((taps + phases) * cutoff, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(t * np.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = np.sinc(t) * window * (cutoff / from_hz)
    return torch.from_numpy(kernels.astype(np.float32))[:, None].to(device)


def sinc(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Hann-windowed sinc resampling of (B, n) to (B, ceil(n * to_hz / from_hz)).

    The same filter as torchaudio's Resample with its defaults. The device's own, and exact to
    a phase, as J. O. Smith describes it ("Digital Audio Resampling", 2002).
    """
    divisor = math.gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    if step == phases:
        return wav
    kernels = _sinc_kernels(step, phases, wav.device)
    reach = (kernels.shape[-1] - step) // 2
    padded = functional.pad(wav[:, None], (reach, reach + step))
    interleaved = functional.conv1d(padded, kernels, stride=step).transpose(1, 2)
    length = -(-wav.shape[-1] * phases // step)
    return interleaved.reshape(wav.shape[0], -1)[:, :length]
