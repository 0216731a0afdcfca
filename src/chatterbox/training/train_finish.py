"""The vocoder's finish: a short adversarial training, half of it on the flow's own mels.

Two small discriminators look at spectrograms (after UnivNet, arXiv:2106.07889). They start anew
whenever the training does, and learn alone for the first steps.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.s3gen.flow import Flow
from chatterbox.training.checkpoints import load
from chatterbox.training.data import TOKEN, Features, crop, random_place
from chatterbox.training.loop import Run, train
from chatterbox.training.losses import magnitudes, spectral_loss
from chatterbox.training.train_tokenizer import HELD_OUT
from chatterbox.training.train_vocoder import VocoderTask

_RESOLUTIONS = ((512, 120), (1024, 240))
_ALONE = 60  # first steps, in which only the discriminators learn
_ADVERSARIAL, _MATCHING = 0.3, 1.0
_FLOW_UTTERANCES = 250  # per voice


class _Discriminator(nn.Module):
    """Spectrogram of one resolution -> realness maps, and the features on the way."""

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, 12, 16, 24, 32)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, (7, 3), stride=(2, 1 if a == 1 else 2), padding=(3, 1))
            for a, b in itertools.pairwise(widths)
        )
        self.judge = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = magnitudes(wav, self.n_fft, self.hop).log()[:, None] / 3
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.judge(x), features


@torch.inference_mode()
def flow_mels(
    flow: Flow, voices: list[Features], tokens: list[NDArray[np.int16]], speakers: Tensor
) -> list[dict[int, Tensor]]:
    """What the flow makes of the first training utterances: per voice, utterance -> (80, 2T)."""
    made: list[dict[int, Tensor]] = []
    for features, codes, embeddings in zip(voices, tokens, speakers, strict=True):
        x_vector = functional.normalize(embeddings.mean(0, keepdim=True), dim=-1)
        mels = {}
        for utterance in range(HELD_OUT, min(HELD_OUT + _FLOW_UTTERANCES, len(features.spans))):
            span = features.spans[utterance]
            ids = torch.from_numpy(codes[span.start : span.start + span.tokens].astype(np.int64))
            mu = flow.encode(ids[None], None, x_vector)
            mels[utterance] = flow.solve(mu, x_vector, torch.zeros_like(mu))[0]
        made.append(mels)
    return made


@dataclass
class FinishTask(VocoderTask):
    """As `VocoderTask`, with discriminators and the flow's mels."""

    mels: list[dict[int, Tensor]] = field(default_factory=list)
    steps_here: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.judges = nn.ModuleList(_Discriminator(*size) for size in _RESOLUTIONS)
        self.judging = torch.optim.AdamW(self.judges.parameters(), 4e-4, (0.8, 0.98))

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        mel, f0, audio = self._draw(rng)
        phases, noise = self.model.draw(2 * self.tokens, self.batch)
        with torch.no_grad():
            source = self.model.source(f0, phases, noise)
        wav = self.model.decode(mel, source)
        judged = self._judge(wav.detach(), audio)
        stft, mel_l1 = spectral_loss(wav, audio)
        total = stft + 2 * mel_l1
        figures = {"stft": stft.item(), "mel": mel_l1.item(), "judged": judged}
        self.steps_here += 1
        if self.steps_here > _ALONE:
            fooling, matching = self._fool(wav, audio)
            total = total + _ADVERSARIAL * fooling + _MATCHING * matching
            figures |= {"fooling": fooling.item(), "matching": matching.item()}
        return total, figures

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        places, from_flow = [], []
        for i in range(self.batch):
            voice = i % len(self.voices)
            features = self.voices[voice]
            made = i % (2 * len(self.voices)) < len(self.voices)
            place = random_place(features, voice, self.tokens, rng, skip=HELD_OUT)
            while made and place[1] not in self.mels[voice]:
                utterance = int(rng.choice(list(self.mels[voice])))
                room = features.spans[utterance].tokens - self.tokens
                if room >= 0:
                    place = (voice, utterance, int(rng.integers(0, room + 1)))
            places.append(place)
            from_flow.append(made)
        batch = crop(self.voices, places, self.tokens)
        mel = batch.mel.clone()
        for row, (voice, utterance, first) in enumerate(places):
            if from_flow[row]:
                window = slice(2 * first, 2 * (first + self.tokens))
                mel[row] = self.mels[voice][utterance][:, window]
        return mel, batch.f0, batch.audio[:, : self.tokens * TOKEN]

    def _judge(self, fake: Tensor, real: Tensor) -> float:
        """One step of the discriminators (least squares); returns their loss."""
        total = fake.new_zeros(())
        for judge in self.judges:
            total = total + (judge(real)[0] - 1).square().mean() + judge(fake)[0].square().mean()
        self.judging.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.judging.step()
        return total.item()

    def _fool(self, fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        fooling, matching = fake.new_zeros(()), fake.new_zeros(())
        self.judges.requires_grad_(requires_grad=False)
        for judge in self.judges:
            verdict, ours = judge(fake)
            with torch.no_grad():
                theirs = judge(real)[1]
            fooling = fooling + (verdict - 1).square().mean()
            pairs = zip(ours, theirs, strict=True)
            matching = matching + sum((a - b).abs().mean() for a, b in pairs) / len(ours)
        self.judges.requires_grad_(requires_grad=True)
        return fooling, matching


def train_finish(workdir: Path, run: Run, flow: Flow) -> None:
    """Go on from `vocoder.pt` with this flow; leaves `finish.pt`, which the export prefers."""
    names = ("ada", "ben")
    voices = [Features(workdir / name) for name in names]
    tokens = [np.fromfile(workdir / name / "tokens.i16", np.int16) for name in names]
    speakers = torch.load(workdir / "speakers.pt", weights_only=True)
    task = FinishTask(voices, mels=flow_mels(flow, voices, tokens, speakers))
    state = load(workdir / "vocoder.pt")
    assert state is not None, "train the vocoder first"
    task.model.load_state_dict(state["average"])
    train(task, run, workdir / "finish.pt")
