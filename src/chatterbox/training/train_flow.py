"""Training of the flow as a regression: tokens and a voice to mel, in one step from nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.flow import Flow
from chatterbox.models.s3tokenizer.config import S3TokenizerConfig
from chatterbox.models.s3tokenizer.model import S3Tokenizer
from chatterbox.training.checkpoints import load
from chatterbox.training.data import Features, crop, random_place
from chatterbox.training.loop import Run, Task, train
from chatterbox.training.train_tokenizer import HELD_OUT

_MAX_PROMPT = 0.4  # of a window


def trained_tokenizer(workdir: Path) -> S3Tokenizer:
    """The averaged tokenizer of `tokenizer.pt`."""
    state = load(workdir / "tokenizer.pt")
    assert state is not None, "train the tokenizer first"
    tokenizer = S3Tokenizer(S3TokenizerConfig.tiny())
    prefix = "model."
    average = {k[len(prefix) :]: v for k, v in state["average"].items() if k.startswith(prefix)}
    tokenizer.load_state_dict(average)
    return tokenizer.eval()


@torch.inference_mode()
def write_tokens(workdir: Path, voice: str) -> None:
    """Tokens of every utterance, as int16 beside the features, at the same offsets.

    Goes on after those that are there: delete the file after training another tokenizer.
    """
    tokenizer = trained_tokenizer(workdir)
    features = Features(workdir / voice)
    target = workdir / voice / "tokens.i16"
    written = target.stat().st_size // 2 if target.exists() else 0
    ends = [0, *(span.start + span.tokens for span in features.spans)]
    done = max(end for end in ends if end <= written)
    with target.open("r+b" if target.exists() else "w+b") as file:
        file.truncate(2 * done)  # an utterance that was cut off is read again
        file.seek(2 * done)
        for span in features.spans:
            if span.start < done:
                continue
            rows = features.tokenizer_mel[span.start * 4 : (span.start + span.tokens) * 4]
            mel = torch.from_numpy(np.asarray(rows, np.float32).T[None].copy())
            tokens, _ = tokenizer(mel, torch.tensor([mel.shape[-1]]))
            file.write(tokens[0].numpy().astype(np.int16).tobytes())


@dataclass
class FlowTask(Task):
    """Windows of both voices; a part begins with a known prompt."""

    voices: list[Features]
    tokens: list[np.ndarray]  # per voice, at the features' offsets
    speakers: Tensor  # (voices, n, 256)
    shares: tuple[float, ...] = (0.6, 0.4)  # of the voices
    batch: int = 6
    length: int = 60
    prompted: float = 0.25
    slips: float = 0.0  # tokens replaced by another, as T3 may do

    def __post_init__(self) -> None:
        self.model = Flow(S3GenConfig.tiny().flow)
        self.trained = self.model

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        places = []
        for voice in rng.choice(len(self.voices), self.batch, p=self.shares):
            features = self.voices[voice]
            places.append(random_place(features, int(voice), self.length, rng, skip=HELD_OUT))
        batch = crop(self.voices, places, self.length)
        rows = []
        for voice, utterance, first in places:
            start = self.voices[voice].spans[utterance].start + first
            rows.append(self.tokens[voice][start : start + self.length])
        tokens = torch.from_numpy(np.stack(rows).astype(np.int64))
        which = torch.from_numpy(rng.integers(0, self.speakers.shape[1], self.batch))
        x_vector = self.speakers[batch.voice, which]
        condition = torch.zeros_like(batch.mel)
        made = torch.ones(self.batch, 1, batch.mel.shape[-1])
        for row in range(self.batch):
            if rng.random() < self.prompted:
                end = int(rng.integers(10, int(_MAX_PROMPT * batch.mel.shape[-1])))
                condition[row, :, :end] = batch.mel[row, :, :end]
                made[row, :, :end] = 0.1
        mu = self.model.encode(tokens, None, x_vector)
        mel = self.model.solve(mu, x_vector, condition)
        guess = (mu - batch.mel).abs().mean()
        final = ((mel - batch.mel).abs() * made).mean() / made.mean()
        return final + 0.3 * guess, {"final": final.item(), "guess": guess.item()}


def train_flow(workdir: Path, run: Run) -> None:
    """Train, or go on training, and leave `flow.pt` in the work directory."""
    names = ("ada", "ben")
    voices = [Features(workdir / name) for name in names]
    tokens = [np.fromfile(workdir / name / "tokens.i16", np.int16) for name in names]
    speakers = torch.load(workdir / "speakers.pt", weights_only=True)
    train(FlowTask(voices, tokens, speakers), run, workdir / "flow.pt")
