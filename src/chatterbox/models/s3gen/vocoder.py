"""HiFT vocoder: mel to waveform (arXiv:2309.09493, over the iSTFT head of arXiv:2203.02395).

A pitch predictor drives sines and noise; their spectrum is added into an up-sampling network
that ends in magnitude and phase. Randomness comes in from outside, so the same inputs give the
same samples, and a stream can carry on where it stopped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from chatterbox.models.kernels.snake import has_kernel, snake
from chatterbox.models.layers.convolution import (
    channels_innermost,
    convolve,
    convolve_up,
    lay_channels_innermost,
)
from chatterbox.models.s3gen.config import VocoderConfig
from chatterbox.models.s3gen.pitch import PitchPredictor

_MAX_MAGNITUDE = 100.0
_FINAL_SLOPE = 0.01  # the last rectifier keeps torch's default slope, as it was trained


def _frame_mask(lengths: Tensor, steps: int, like: Tensor) -> Tensor:
    """1 where a row is not padding: (B,) -> (B, 1, steps), of the type of `like`."""
    steps_of = torch.arange(steps, device=like.device)
    return (steps_of < lengths[:, None])[:, None].to(like.dtype)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _mean(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts)


class _Snake(nn.Module):
    """x + sin^2(a x) / a, with one a per channel (arXiv:2006.08195)."""

    alpha: nn.Parameter

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() and has_kernel(x):
            alpha = self.alpha.float()
            return snake(x, alpha, (alpha + 1e-9).reciprocal_())
        alpha = self.alpha[:, None]
        wave = torch.sin(x * alpha)
        return torch.addcmul(x, wave / (alpha + 1e-9), wave)


class _ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Module:
            padding = (kernel - 1) * dilation // 2
            plain = nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding)
            normed: nn.Module = weight_norm(plain)
            return normed

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(convolution(1) for _ in dilations)
        self.activations1 = nn.ModuleList(_Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(_Snake(channels) for _ in dilations)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        layers = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for first_snake, first, second_snake, second in layers:
            inner = convolve(first, _masked(first_snake(x), mask))
            x = x + convolve(second, _masked(second_snake(inner), mask))
        return x


class _Source(nn.Module):
    """Mixes the harmonics into one excitation."""

    def __init__(self, overtones: int) -> None:
        super().__init__()
        self.l_linear = nn.Linear(overtones + 1, 1)

    def forward(self, harmonics: Tensor) -> Tensor:
        return torch.tanh(self.l_linear(harmonics.transpose(1, 2))).transpose(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What is to become sound, for B rows padded at the end to F frames."""

    mel: Tensor  # (B, bins, F)
    lengths: Tensor | None  # (B,) in frames; None: all are whole
    f0: Tensor  # (B, F) the pitch, where it is known
    known: Tensor  # (B,) of how many frames, from the first on
    phases: Tensor  # (B, harmonics, 1) before the first sample
    noise: Tensor  # (B, harmonics, samples)


class Vocoder(nn.Module):
    """Mel frames to samples, `config.samples_per_frame` of them per frame.

    `lengths` (B,) in frames, where given, keeps padding from reaching a row's own samples:
    every row then sounds as it would alone. Output past a row's length means nothing.
    """

    _window: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        rates, kernels = config.upsample_rates, config.upsample_kernels
        widths = [config.channels // 2**level for level in range(len(rates) + 1)]
        spectrum = config.n_fft + 2
        self.f0_predictor = PitchPredictor(config)
        self.m_source = _Source(config.overtones)
        self.conv_pre = weight_norm(nn.Conv1d(config.mel_bins, widths[0], 7, padding=3))
        self.ups = nn.ModuleList()
        self.source_downs = nn.ModuleList()
        self.source_resblocks = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for level, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
            width = widths[level + 1]
            up = nn.ConvTranspose1d(widths[level], width, kernel, rate, (kernel - rate) // 2)
            self.ups.append(weight_norm(up))
            stride = math.prod(rates[level + 1 :])  # from the source's STFT rate to this level's
            down = (
                nn.Conv1d(spectrum, width, 1)
                if stride == 1
                else nn.Conv1d(spectrum, width, 2 * stride, stride, stride // 2)
            )
            self.source_downs.append(down)
            self.source_resblocks.append(
                _ResBlock(width, config.source_kernels[level], config.dilations)
            )
            self.resblocks.extend(
                _ResBlock(width, size, config.dilations) for size in config.resblock_kernels
            )
        self.conv_post = weight_norm(nn.Conv1d(widths[-1], spectrum, 7, padding=3))
        # On the CPU even where the rest is built without storage: no file holds it.
        window = torch.hann_window(config.n_fft, device="cpu")
        self.register_buffer("_window", window, persistent=False)

    def fold_weight_norm(self) -> None:
        """Compute every weight once, for inference; the official keys are gone afterwards."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    def convert(self, dtype: torch.dtype) -> None:
        """Run the up-sampling network in another precision; pitch, source and spectra stay.

        For inference, after `fold_weight_norm`. The last convolution stays, too: its output is
        the logarithm of a magnitude, and an angle.
        """
        network = self.ups, self.source_downs, self.source_resblocks, self.resblocks
        for part in (self.conv_pre, *network):
            part.to(dtype)
        for part in (self.conv_pre, *network, self.conv_post):
            lay_channels_innermost(part)

    def pitch(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel (B, bins, F) -> f0 (B, F) in Hz."""
        mask = None if lengths is None else _frame_mask(lengths, mel.shape[-1], mel)
        f0: Tensor = self.f0_predictor(mel, mask)
        return f0

    def sound(self, heard: Heard) -> tuple[Tensor, Tensor]:
        """Samples (B, n) and pitch (B, F), which is as given where it was known."""
        predicted = self.pitch(heard.mel, heard.lengths)
        places = torch.arange(predicted.shape[1], device=predicted.device)
        f0 = torch.where(places < heard.known[:, None], heard.f0, predicted)
        source = self.source(f0, heard.phases, heard.noise)
        return self.decode(heard.mel, source, heard.lengths), f0

    def draw(
        self, frames: int, batch: int = 1, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Phases and noise for `source`: the fundamental starts at 0, overtones anywhere."""
        rows, device = self.config.overtones + 1, self._window.device
        phases = torch.rand(batch, rows, 1, generator=generator, device=device)
        phases = (2 * phases - 1) * math.pi
        phases[:, 0] = 0.0
        samples = frames * self.config.samples_per_frame
        return phases, torch.randn(batch, rows, samples, generator=generator, device=device)

    def advance(self, f0: Tensor, phases: Tensor) -> Tensor:
        """The phases (B, H, 1) at the end of f0 (B, F), where the next stretch starts."""
        per_frame = self.config.samples_per_frame / self.config.sample_rate_hz
        cycles = f0.double().sum(-1, keepdim=True) * per_frame
        return phases + self._harmonic_phase(cycles)

    def _harmonic_phase(self, cycles: Tensor) -> Tensor:
        """Cycles of the fundamental (B, n), float64 -> angles of all harmonics (B, H, n)."""
        numbers = torch.arange(1, self.config.overtones + 2, device=cycles.device)
        return (2 * math.pi * (cycles[:, None] * numbers[:, None]).frac()).float()

    def source(self, f0: Tensor, phases: Tensor, noise: Tensor) -> Tensor:
        """The excitation: f0 (B, F) in Hz -> (B, 1, samples) in (-1, 1).

        `phases` (B or 1, H, 1) in radians are the harmonics' angles before the first sample and
        `noise` (B or 1, H, samples) is of unit variance; H counts the fundamental. Cycles are
        summed per frame in float64, so that a long stretch keeps its pitch exactly.
        """
        config = self.config
        per_frame = config.samples_per_frame
        step = f0.double() / config.sample_rate_hz
        started = torch.cumsum(step, dim=-1) - step
        inside = torch.arange(1, per_frame + 1, device=f0.device)
        cycles = started[..., None] * per_frame + step[..., None] * inside
        angles = self._harmonic_phase(cycles.flatten(1)) + phases
        voiced = (f0 > config.voiced_above_hz).to(f0.dtype)
        voiced = voiced.repeat_interleave(per_frame, dim=1)[:, None]
        unvoiced_noise = config.sine_amplitude / 3
        loudness = voiced * config.voiced_noise + (1 - voiced) * unvoiced_noise
        harmonics = config.sine_amplitude * torch.sin(angles) * voiced + loudness * noise
        excitation: Tensor = self.m_source(harmonics)
        return excitation

    def decode(self, mel: Tensor, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        """mel (B, bins, F), source (B, 1, samples) -> samples (B, samples) within the peak."""
        config = self.config
        masks: list[Tensor | None] = [None] * (len(config.upsample_rates) + 1)
        dtype = self.conv_pre.weight.dtype
        if lengths is not None:
            masks = self._level_masks(lengths, mel.shape[-1], dtype)
        spectrum = channels_innermost(_masked(self._analyse(source[:, 0], lengths), masks[-1]))
        spectrum = spectrum.to(dtype)
        x = convolve(self.conv_pre, channels_innermost(_masked(mel, masks[0])).to(dtype))
        kinds = len(config.resblock_kernels)
        for level, up in enumerate(self.ups):
            x = convolve_up(up, _masked(functional.leaky_relu(x, config.slope), masks[level]))
            mask = masks[level + 1]
            if level == len(self.ups) - 1:  # one frame more than hops: the STFT is centred
                x = channels_innermost(torch.cat([x[..., 1:2], x], dim=-1))  # reflected
            heard = convolve(self.source_downs[level], spectrum)
            x = x + self.source_resblocks[level](heard, mask)
            blocks = self.resblocks[level * kinds : (level + 1) * kinds]
            x = _mean([block(x, mask) for block in blocks])
        x = functional.leaky_relu(x.float(), _FINAL_SLOPE)
        x = convolve(self.conv_post, _masked(x, masks[-1]))
        bins = config.n_fft // 2 + 1
        magnitude = torch.clamp(torch.exp(x[:, :bins]), max=_MAX_MAGNITUDE)
        angle = torch.sin(x[:, bins:])
        wav = self._synthesise(_masked(magnitude, masks[-1]), angle, masks[-1])
        return torch.clamp(wav, -config.peak, config.peak)

    def _level_masks(self, lengths: Tensor, frames: int, dtype: torch.dtype) -> list[Tensor | None]:
        masks: list[Tensor | None] = []
        like = torch.empty(0, dtype=dtype, device=lengths.device)
        factor = 1
        for level in range(len(self.ups) + 1):
            extra = int(level == len(self.ups))
            masks.append(_frame_mask(lengths * factor + extra, frames * factor + extra, like))
            if level < len(self.ups):
                factor *= self.config.upsample_rates[level]
        return masks

    def _analyse(self, source: Tensor, lengths: Tensor | None) -> Tensor:
        """Centred STFT: (B, samples) -> real over imaginary parts (B, n_fft + 2, hops + 1).

        A shorter row is reflected at its own end, as it would be alone.
        """
        n_fft, hop = self.config.n_fft, self.config.hop
        padded = functional.pad(source, (n_fft // 2, n_fft // 2), mode="reflect")
        if lengths is not None:
            ends = (lengths * self.config.samples_per_frame - 1)[:, None]
            position = torch.arange(padded.shape[-1], device=source.device) - n_fft // 2
            position = torch.where(position > ends, 2 * ends - position, position.abs())
            padded = source.gather(1, position.clamp(min=0))
        spectrum = torch.stft(
            padded, n_fft, hop, window=self._window, center=False, return_complex=True
        )
        return torch.cat([spectrum.real, spectrum.imag], dim=1)

    def _synthesise(self, magnitude: Tensor, angle: Tensor, mask: Tensor | None) -> Tensor:
        """Inverse of the centred STFT by overlap-add: (B, bins, hops + 1) -> (B, hops * hop)."""
        n_fft = self.config.n_fft
        pieces = torch.fft.irfft(torch.polar(magnitude, angle).transpose(1, 2), n=n_fft)
        weights = self._window.square().expand(1, pieces.shape[1], n_fft)
        if mask is not None:
            weights = weights * mask.transpose(1, 2)
        summed = self._overlap_add(pieces * self._window)
        envelope = self._overlap_add(weights)
        inner = slice(n_fft // 2, summed.shape[-1] - n_fft // 2)
        return summed[:, inner] / envelope[:, inner].clamp(min=1e-8)

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        B, count, n_fft = pieces.shape
        hop = self.config.hop
        shifts = n_fft // hop
        parts = pieces.reshape(B, count, shifts, hop)
        summed = functional.pad(parts[:, :, 0], (0, 0, 0, shifts - 1))
        for shift in range(1, shifts):
            summed = summed + functional.pad(parts[:, :, shift], (0, 0, shift, shifts - 1 - shift))
        return summed.reshape(B, -1)
