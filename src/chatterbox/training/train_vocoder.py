"""Training of the vocoder and, apart from it, of its pitch predictor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.pitch import PitchPredictor
from chatterbox.models.s3gen.vocoder import Vocoder
from chatterbox.training.data import TOKEN, Features, crop, random_place
from chatterbox.training.loop import Run, Task, train
from chatterbox.training.losses import pitch_loss, spectral_loss
from chatterbox.training.train_tokenizer import HELD_OUT

_HARMONIC_WEIGHT = 0.5  # kept: left free, the source fades out and pitch stops following F0
_PITCH_JITTER = 0.02


def fresh_vocoder() -> Vocoder:
    """A vocoder with a live harmonic source and a quiet start."""
    vocoder = Vocoder(S3GenConfig.tiny().vocoder)
    linear = vocoder.m_source.l_linear
    nn.init.constant_(linear.weight, _HARMONIC_WEIGHT)
    nn.init.zeros_(linear.bias)
    linear.requires_grad_(requires_grad=False)
    bins = vocoder.config.n_fft // 2 + 1
    with torch.no_grad():
        assert vocoder.conv_post.bias is not None
        vocoder.conv_post.bias[:bins] -= 2.0
    return vocoder


@dataclass
class VocoderTask(Task):
    """Copy synthesis from true mels and the teacher's pitch."""

    voices: list[Features]
    batch: int = 8
    tokens: int = 14

    def __post_init__(self) -> None:
        self.model = fresh_vocoder()
        self.model.f0_predictor.requires_grad_(requires_grad=False)
        self.trained = self.model

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        places = []
        for i in range(self.batch):
            voice = i % len(self.voices)
            places.append(random_place(self.voices[voice], voice, self.tokens, rng, skip=HELD_OUT))
        batch = crop(self.voices, places, self.tokens)
        jitter = 1 + _PITCH_JITTER * (2 * torch.rand(self.batch, 1) - 1)
        phases, noise = self.model.draw(2 * self.tokens, self.batch)
        with torch.no_grad():
            source = self.model.source(batch.f0 * jitter, phases, noise)
        wav = self.model.decode(batch.mel, source)
        stft, mel = spectral_loss(wav, batch.audio[:, : 2 * self.tokens * (TOKEN // 2)])
        return stft + 2 * mel, {"stft": stft.item(), "mel": mel.item()}


@dataclass
class PitchTask(Task):
    """Mel to F0 in Hz."""

    voices: list[Features]
    batch: int = 16
    tokens: int = 40

    def __post_init__(self) -> None:
        self.model = PitchPredictor(S3GenConfig.tiny().vocoder)
        nn.init.normal_(self.model.classifier.weight, std=4.0)
        nn.init.constant_(self.model.classifier.bias, 80.0)
        self.trained = self.model

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        places = []
        for i in range(self.batch):
            voice = i % len(self.voices)
            places.append(random_place(self.voices[voice], voice, self.tokens, rng, skip=HELD_OUT))
        batch = crop(self.voices, places, self.tokens)
        hz = self.model(batch.mel)
        voiced = batch.f0 > 0
        error = (((hz - batch.f0).abs() * voiced).sum() / voiced.sum().clamp(min=1)).item()
        wrong = ((hz > 10) != voiced).float().mean().item()
        return pitch_loss(hz, batch.f0), {"hz": error, "voicing": wrong}


def train_vocoder(workdir: Path, run: Run) -> None:
    """Train, or go on training, and leave `vocoder.pt` in the work directory."""
    voices = [Features(workdir / "ada"), Features(workdir / "ben")]
    train(VocoderTask(voices), run, workdir / "vocoder.pt")


def train_pitch(workdir: Path, run: Run) -> None:
    """Train, or go on training, and leave `pitch.pt` in the work directory."""
    voices = [Features(workdir / "ada"), Features(workdir / "ben")]
    train(PitchTask(voices), run, workdir / "pitch.pt")
