"""The mel front ends of the models, side by side, so that their differences show.

| front end     | rate   | window / hop | bins, range   | values                                  |
|---------------|--------|--------------|---------------|-----------------------------------------|
| VoiceEncoder  | 16 kHz | 400 / 160    | 40, 0-8 kHz   | power, not compressed                   |
| S3 tokenizer  | 16 kHz | 400 / 160    | 128, 0-8 kHz  | log10 power, floored 8 below the maximum |
| S3Gen         | 24 kHz | 1920 / 480   | 80, 0-8 kHz   | natural log of the magnitude            |
| x-vector      | 16 kHz | 400 / 160    | 80, 20 Hz-8 kHz | natural log of the power, mean 0 over time |

The first three use a periodic Hann window and triangles on Slaney's mel scale with unit area;
the last is Kaldi's filter bank, with its own window, pre-emphasis and mel scale.
"""

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0  # Slaney's scale is linear below and logarithmic above
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, logarithmic)


def _corners(bins: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    return _mel_to_hz(np.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), bins + 2))


def slaney_centres(bins: int, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Where the filters of `slaney_filterbank` have their peaks, in Hz: (bins,)."""
    return _corners(bins, low_hz, high_hz)[1:-1]


@functools.cache
def slaney_filterbank(
    sample_rate_hz: int, n_fft: int, bins: int, low_hz: float, high_hz: float
) -> Tensor:
    """Triangular mel filters of unit area: (bins, n_fft // 2 + 1) float32, shared, do not write.

    M. Slaney, Auditory Toolbox, 1998; the values agree with librosa.filters.mel.
    """
    frequencies = np.linspace(0.0, sample_rate_hz / 2, n_fft // 2 + 1)
    corners = _corners(bins, low_hz, high_hz)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy((triangles * (2.0 / (right - left))).astype(np.float32))


@functools.cache
def _hann(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, device=device)


def voice_encoder_mel(wav16k: Tensor) -> Tensor:
    """Power mel of the VoiceEncoder: (B, n) at 16 kHz -> (B, 1 + n // 160, 40)."""
    window = _hann(400, wav16k.device)
    spectrum = torch.stft(wav16k, 400, 160, window=window, return_complex=True)
    filters = slaney_filterbank(16000, 400, 40, 0.0, 8000.0).to(wav16k.device)
    return (filters @ spectrum.abs().square()).transpose(1, 2)


def tokenizer_log_mel(wav16k: Tensor, filters: Tensor, window: Tensor) -> Tensor:
    """Log mel of the S3 tokenizer: (n,) at 16 kHz -> (bins, n // 160).

    One clip at a time, for the floor lies 8 (80 dB) below the maximum of the whole clip.
    `filters` (bins, 201) and `window` (400,) are the tokenizer's own buffers. Needs n > 200.
    """
    n_fft = window.shape[0]
    spectrum = torch.stft(wav16k, n_fft, 160, window=window, return_complex=True)
    power = spectrum[..., :-1].abs().square()
    log_mel = torch.clamp(filters @ power, min=1e-10).log10()
    log_mel = torch.maximum(log_mel, log_mel.max() - 8.0)
    return (log_mel + 4.0) / 4.0


def s3gen_log_mel(wav: Tensor, sample_rate_hz: int = 24000, bins: int = 80) -> Tensor:
    """Log-magnitude mel that S3Gen writes and the vocoder reads: (B, n) -> (B, bins, n // 480).

    Windows are centred on the hop, not on its start, so frames = samples / hop exactly.
    Needs n > 720. Natural logarithm, floored at 1e-5 (-11.5).
    """
    n_fft, hop = 1920, 480
    margin = (n_fft - hop) // 2
    padded = functional.pad(wav[:, None], (margin, margin), mode="reflect")[:, 0]
    window = _hann(n_fft, wav.device)
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    magnitude = torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-9)
    filters = slaney_filterbank(sample_rate_hz, n_fft, bins, 0.0, 8000.0).to(wav.device)
    return torch.clamp(filters @ magnitude, min=1e-5).log()


@functools.cache
def _kaldi_filterbank(device: torch.device) -> Tensor:
    """Kaldi's 80 triangles, of unit height and linear in mel, 20 Hz to 8 kHz: (80, 257).

    In float32 throughout, as the x-vector network was trained: the narrow low triangles feel it.
    """
    low, high = (1127.0 * math.log1p(hz / 700.0) for hz in (20.0, 8000.0))
    step = (high - low) / 81
    number = torch.arange(80, device="cpu")[:, None]
    left, centre, right = (low + (number + corner) * step for corner in range(3))
    mel_of_bin = 1127.0 * (1.0 + torch.arange(256, device="cpu") * (16000.0 / 512) / 700.0).log()
    rising = (mel_of_bin - left) / (centre - left)
    falling = (right - mel_of_bin) / (right - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    return functional.pad(triangles, (0, 1)).to(device)  # Kaldi leaves the Nyquist bin out


def x_vector_features(wav16k: Tensor) -> Tensor:
    """Kaldi log filter-bank energies: (B, n) at 16 kHz in [-1, 1] -> (B, frames, 80).

    25 ms windows every 10 ms that never reach past the clip, each with its mean removed,
    pre-emphasised by .97 and under a "Povey" window (Hann to the power .85); then every bin
    has its mean over time removed. Needs n >= 400.
    """
    frames = wav16k.unfold(-1, 400, 160)
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = torch.hann_window(400, periodic=False, device=wav16k.device).pow(0.85)
    spectrum = torch.fft.rfft((frames - 0.97 * previous) * window, n=512)
    energies = spectrum.abs().square() @ _kaldi_filterbank(wav16k.device).T
    features = torch.clamp(energies, min=torch.finfo(torch.float32).eps).log()
    return features - features.mean(1, keepdim=True)
