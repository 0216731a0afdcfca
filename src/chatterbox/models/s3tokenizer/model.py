"""S3 tokenizer: 16 kHz speech to 25 tokens a second (CosyVoice 2, arXiv:2412.10117, 2.2).

A Whisper-like encoder whose attention has an FSMN memory beside it, and finite scalar
quantisation (arXiv:2309.15505) to a number of base-3 digits.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.audio.mel import slaney_filterbank, tokenizer_log_mel
from chatterbox.models.layers.rotary import rotary_frequencies, rotate
from chatterbox.models.s3tokenizer.config import LEVELS, S3TokenizerConfig

_N_FFT = 400
_SQUASH = 0.9990000128746033  # keeps tanh off the ends, where rounding has no gradient
_FRAMES_PER_TOKEN = 4
_WINDOWS_PER_PASS = 8  # of long audio; bounds the memory, changes nothing


def lengths_to_mask(lengths: Tensor, steps: int) -> Tensor:
    """True where a row is not padding: (B,) -> (B, steps)."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def quantize(prequant: Tensor) -> Tensor:
    """Values in (-1, 1), last dimension the digits -> codes without that dimension, int64.

    Digit i counts 3**i. Halves round to even, that is, to the middle digit.
    """
    digits = prequant.round().long() + 1
    weights = LEVELS ** torch.arange(prequant.shape[-1], device=prequant.device)
    return (digits * weights).sum(-1)


class _Attention(nn.Module):
    """Rotary self-attention, plus a depth-wise convolution of the values (the FSMN memory)."""

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        width, taps = config.state, config.memory_taps
        self.heads = config.heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.fsmn_block = nn.Conv1d(width, width, taps, padding=taps // 2, groups=width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None, rotation: Tensor) -> Tensor:
        B, T, D = x.shape

        def split(projected: Tensor) -> Tensor:
            return projected.view(B, T, self.heads, D // self.heads).transpose(1, 2)

        value = self.value(x)
        attended = functional.scaled_dot_product_attention(
            rotate(split(self.query(x)), rotation),
            rotate(split(self.key(x)), rotation),
            split(value),
            attn_mask=None if mask is None else mask[:, None, None],
        )
        if mask is not None:
            value = value * mask[..., None]
        memory = self.fsmn_block(value.transpose(1, 2)).transpose(1, 2) + value
        if mask is not None:
            memory = memory * mask[..., None]
        summed: Tensor = self.out(attended.transpose(1, 2).reshape(B, T, D)) + memory
        return summed


class _Block(nn.Module):
    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        width = config.state
        self.attn = _Attention(config)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width),
            nn.GELU(),
            nn.Linear(config.mlp_ratio * width, width),
        )
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None, rotation: Tensor) -> Tensor:
        x = x + self.attn(self.attn_ln(x), mask, rotation)
        grown: Tensor = x + self.mlp(self.mlp_ln(x))
        return grown


class _Encoder(nn.Module):
    """Log mel (B, bins, T) -> (B, ceil(T / 4), state)."""

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mel_bins, config.state, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(config.state, config.state, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))

    def forward(self, log_mel: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = log_mel
        for convolution in (self.conv1, self.conv2):
            if lengths is not None:
                x = x * lengths_to_mask(lengths, x.shape[-1])[:, None]
                lengths = (lengths + 1) // 2
            x = functional.gelu(convolution(x))
        x = x.transpose(1, 2)
        steps = x.shape[1]
        mask = None if lengths is None else lengths_to_mask(lengths, steps)
        frequencies = rotary_frequencies(self.config.head_dim, self.config.rotary_theta)
        angles = torch.outer(torch.arange(steps).float(), frequencies).to(x.device)
        rotation = torch.cat([angles.cos(), angles.sin()], dim=-1)
        for block in self.blocks:
            x = block(x, mask, rotation)
        return x, lengths


class _Codebook(nn.Module):
    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.project_down = nn.Linear(config.state, config.digits)


class _Quantizer(nn.Module):
    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self._codebook = _Codebook(config)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self._codebook.project_down(hidden)) * _SQUASH


class S3Tokenizer(nn.Module):
    """Speech to discrete tokens in [0, config.codes)."""

    _mel_filters: Tensor
    window: Tensor

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.quantizer = _Quantizer(config)
        # On the CPU even where the rest is built without storage: some files leave them out.
        filters = slaney_filterbank(16000, _N_FFT, config.mel_bins, 0.0, 8000.0)
        self.register_buffer("_mel_filters", filters.clone())
        self.register_buffer("window", torch.hann_window(_N_FFT, device="cpu"))

    def log_mel(self, wav16k: Tensor) -> Tensor:
        """(1, n) at 16 kHz -> (1, mel_bins, n // 160); needs n > 200."""
        return tokenizer_log_mel(wav16k[0], self._mel_filters, self.window)[None]

    def encode(self, log_mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, mel_bins, T), (B,) frames (None: all T) -> hidden (B, ceil(T / 4), state)."""
        hidden: Tensor = self.encoder(log_mel, lengths)[0]
        return hidden

    def prequant(self, hidden: Tensor) -> Tensor:
        """(..., state) -> (..., digits) in (-1, 1); differentiable. `quantize` makes codes."""
        values: Tensor = self.quantizer(hidden)
        return values

    def forward(self, log_mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, mel_bins, T), (B,) frames -> tokens (B, ceil(T / 4)), (B,) tokens.

        Tokens past a row's length mean nothing. T is at most `config.window_frames` in use;
        nothing enforces it.
        """
        hidden, token_lengths = self.encoder(log_mel, lengths)
        return quantize(self.prequant(hidden)), token_lengths

    @torch.inference_mode()
    def tokenize(self, wav16k: Tensor, max_tokens: int | None = None) -> Tensor:
        """Tokens of a whole clip of any length: (1, n) at 16 kHz -> (1, ceil(n // 160 / 4)).

        With `max_tokens` the mel is cut to that length before it is read.
        """
        log_mel = self.log_mel(wav16k)
        if max_tokens is not None:
            log_mel = log_mel[..., : max_tokens * _FRAMES_PER_TOKEN]
        frames = log_mel.shape[-1]
        if frames > self.config.window_frames:
            return self._tokenize_through_windows(log_mel)
        return self.forward(log_mel, torch.tensor([frames], device=log_mel.device))[0]

    def _tokenize_through_windows(self, log_mel: Tensor) -> Tensor:
        """Overlapping windows; half of each overlap is believed on either side of its middle."""
        size, overlap = self.config.window_frames, self.config.overlap_frames
        frames = log_mel.shape[-1]
        starts = range(0, frames, size - overlap)
        padded = functional.pad(log_mel, (0, starts[-1] + size - frames))
        half = overlap // _FRAMES_PER_TOKEN // 2
        pieces: list[Tensor] = []
        for first in range(0, len(starts), _WINDOWS_PER_PASS):
            group = starts[first : first + _WINDOWS_PER_PASS]
            windows = torch.cat([padded[..., start : start + size] for start in group])
            lengths = torch.tensor(
                [min(size, frames - start) for start in group], device=log_mel.device
            )
            tokens, token_lengths = self.forward(windows, lengths)
            for start, row, length in zip(group, tokens, token_lengths.tolist(), strict=True):
                low = 0 if start == 0 else half
                high = length if start == starts[-1] else length - half
                pieces.append(row[low : max(low, high)])
        return torch.cat(pieces)[None]
