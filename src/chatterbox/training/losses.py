"""Losses on waveforms and mels."""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.audio.mel import slaney_filterbank

_RESOLUTIONS = ((512, 120), (1024, 240), (2048, 480))  # n_fft, hop


@functools.cache
def _window(size: int) -> Tensor:
    return torch.hann_window(size)


def magnitudes(wav: Tensor, n_fft: int, hop: int) -> Tensor:
    """(B, n) -> (B, bins, frames), never 0."""
    spectrum = torch.stft(wav, n_fft, hop, window=_window(n_fft), return_complex=True)
    return torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-7)


def spectral_loss(wav: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Multi-resolution STFT loss (arXiv:1910.11480) and the L1 of the log mel at 1024 points."""
    total = wav.new_zeros(())
    mel = wav.new_zeros(())
    for n_fft, hop in _RESOLUTIONS:
        ours = magnitudes(wav, n_fft, hop)
        with torch.no_grad():
            theirs = magnitudes(target, n_fft, hop)
        convergence = (ours - theirs).norm() / theirs.norm().clamp(min=1e-3)
        total = total + convergence + (ours.log() - theirs.log()).abs().mean()
        if n_fft == 1024:
            filters = slaney_filterbank(24000, n_fft, 80, 0.0, 12000.0)
            low = [torch.log((filters @ x).clamp(min=1e-5)) for x in (ours, theirs)]
            mel = (low[0] - low[1]).abs().mean()
    return total / len(_RESOLUTIONS), mel


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` (broadcastable, 0 or 1) is 1."""
    weights = mask.expand_as(values).to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1)


def pitch_loss(predicted: Tensor, f0: Tensor) -> Tensor:
    """Mean error in units of 100 Hz; unvoiced frames (0 Hz) count like voiced ones."""
    return functional.l1_loss(predicted / 100, f0 / 100)
