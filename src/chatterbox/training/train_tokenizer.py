"""Training of the S3 tokenizer: codes that say which sound at which relative pitch.

The codes are supervised through a throw-away head (phonemes at 50 Hz, voicing, pitch relative to
the speaker, mel given the speaker). Both voices say the same things at the same times, so the
codes of one are swapped into the other: they cannot carry the speaker.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.s3tokenizer.config import S3TokenizerConfig
from chatterbox.models.s3tokenizer.model import S3Tokenizer, quantize
from chatterbox.text.phonemes import SYMBOLS
from chatterbox.training.data import MEL_BINS, Crops, Features, crop, random_place
from chatterbox.training.loop import Run, Task, train

_WIDTH = 160
HELD_OUT = 64  # utterances at the start of every voice that no training sees


class _Head(nn.Module):
    """Throw-away decoder: codes (B, T, digits) and voice -> sounds, pitch, mel at 50 Hz."""

    def __init__(self, digits: int, voices: int) -> None:
        super().__init__()
        self.enter = nn.Linear(digits, 2 * _WIDTH)
        self.voice = nn.Embedding(voices, _WIDTH)
        self.shared = nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 5, padding=2) for _ in range(3))
        self.sounds = nn.Conv1d(_WIDTH, len(SYMBOLS) + 2, 1)  # the last two: voicing, pitch
        self.mel = nn.Conv1d(_WIDTH, MEL_BINS, 1)

    def forward(self, codes: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
        B, T, _ = codes.shape
        x = self.enter(codes).view(B, 2 * T, _WIDTH).transpose(1, 2)
        x = functional.gelu(self.shared(functional.gelu(x)))
        y = x + self.voice(voice)[..., None]
        for layer in self.layers:
            y = y + functional.gelu(layer(y))
        return self.sounds(x), self.mel(y)


@dataclass
class TokenizerTask(Task):
    """Pairs of windows, the first half of a batch by one voice, the second by the other."""

    voices: list[Features]
    run: Run
    batch: int = 12
    tokens: int = 50

    def __post_init__(self) -> None:
        config = S3TokenizerConfig.tiny()
        self.model = S3Tokenizer(config)
        self.norm = nn.LayerNorm(config.state, elementwise_affine=False)
        self.head = _Head(config.digits, len(self.voices))
        nn.init.normal_(
            self.model.quantizer._codebook.project_down.weight, std=1.5 / config.state**0.5
        )
        self.trained = nn.ModuleDict({"model": self.model, "head": self.head})

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        half = self.batch // 2
        parallel = min(len(voice.spans) for voice in self.voices)
        places = [
            random_place(self.voices[-1], 0, self.tokens, rng, skip=HELD_OUT) for _ in range(half)
        ]
        assert all(utterance < parallel for _, utterance, _ in places)
        pairs = [(voice, u, t) for voice in (0, 1) for _, u, t in places]
        batch = crop(self.voices, pairs, self.tokens)
        hard = min(1.0, 0.3 + 0.7 * step / (0.4 * self.run.steps))
        return self._score(batch, hard)

    def _score(self, batch: Crops, hard: float) -> tuple[Tensor, dict[str, float]]:
        hidden = self.model.encode(batch.tokenizer_mel)
        soft = self.model.prequant(hidden)
        rounded = soft + (soft.round() - soft).detach()
        mixed = torch.where(torch.rand(soft.shape[:2])[..., None] < hard, rounded, soft)
        first, second = mixed.chunk(2)
        swap = torch.rand(len(first), 1, 1) < 0.5
        mixed = torch.cat([torch.where(swap, second, first), torch.where(swap, first, second)])
        sounds, mel = self.head(mixed, batch.voice)
        phoneme = functional.cross_entropy(sounds[:, :-2], batch.labels)
        pitch = self._pitch_loss(sounds[:, -2:], batch)
        mel_l1 = (mel - batch.mel).abs().mean()
        one, two = soft.chunk(2)
        agree = functional.mse_loss(one, two)
        spread = _collapse(soft)
        total = phoneme + 0.5 * pitch + mel_l1 + 1.0 * agree + 2.0 * spread
        accuracy = (sounds[:, :-2].argmax(1) == batch.labels).float().mean()
        codes_one, codes_two = quantize(one), quantize(two)
        return total, {
            "phoneme": phoneme.item(),
            "accuracy": accuracy.item(),
            "pitch": pitch.item(),
            "mel": mel_l1.item(),
            "agree": agree.item(),
            "same": (codes_one == codes_two).float().mean().item(),
            "spread": spread.item(),
            "codes": float(len(torch.unique(codes_one))),
        }

    def _pitch_loss(self, heads: Tensor, batch: Crops) -> Tensor:
        voiced = (batch.f0 > 0).float()
        mean = torch.tensor([v.log_f0_mean for v in self.voices])[batch.voice][:, None]
        std = torch.tensor([v.log_f0_std for v in self.voices])[batch.voice][:, None]
        relative = (batch.f0.clamp(min=1).log() - mean) / std
        voicing = functional.binary_cross_entropy_with_logits(heads[:, 0], voiced)
        error = ((heads[:, 1] - relative).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        return voicing + error


def _collapse(values: Tensor) -> Tensor:
    """Every digit should vary, be centred and differ from the others: 0 when they do."""
    flat = values.flatten(0, 1)
    centred = flat - flat.mean(0)
    std = (centred.square().mean(0) + 1e-6).sqrt()
    covariance = (centred.T @ centred) / len(flat) / (std[:, None] * std)
    off = covariance - torch.diag(torch.diag(covariance))
    return functional.relu(0.75 - std).mean() + flat.mean(0).square().mean() + off.square().mean()


def train_tokenizer(workdir: Path, run: Run) -> None:
    """Train, or go on training, and leave `tokenizer.pt` in the work directory."""
    voices = [Features(workdir / "ada"), Features(workdir / "ben")]
    train(TokenizerTask(voices, run), run, workdir / "tokenizer.pt")
