"""Training of T3: phonemes to speech tokens, with the teacher's durations as a guide.

One head in each of a few layers is told to look at the phoneme being spoken; that settles the
alignment within minutes instead of hours. Part of the rows have no text, for classifier-free
guidance; some past tokens are wrong, so that the model learns to carry on after a slip.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from chatterbox.models.layers.transformer import CausalAttention
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.training.data import TOKEN, Features, symbol_ids, symbol_samples
from chatterbox.training.loop import Run, Task, train
from chatterbox.training.teacher import Recordings
from chatterbox.training.train_tokenizer import HELD_OUT

_VOICE_PLACES = 2  # speaker and emotion; no prompt
_GUIDED_HEAD = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance: framed text ids, speech tokens, and the text place heard in each token."""

    text: NDArray[np.int64]
    speech: NDArray[np.int64]
    heard: NDArray[np.int64]  # the entry at len(speech) is the stop symbol

    @property
    def places(self) -> int:
        return _VOICE_PLACES + len(self.text) + 2 + len(self.speech)


def lines_of(folder: Path, config: T3Config) -> list[Line]:
    """Every utterance with features and tokens."""
    features, recordings = Features(folder), Recordings(folder)
    tokens = np.fromfile(folder / "tokens.i16", np.int16).astype(np.int64)
    assert config.start_text is not None
    assert config.stop_text is not None
    lines = []
    for i, span in enumerate(features.spans):
        if span.start + span.tokens > len(tokens):
            break
        rendering = recordings.load(i)
        text = [config.start_text, *symbol_ids(rendering.phonemes), config.stop_text]
        ends = np.cumsum(symbol_samples(rendering))
        centres = np.arange(span.tokens) * TOKEN + TOKEN // 2
        heard = np.searchsorted(ends, centres, side="right").clip(max=len(text) - 1)
        speech = tokens[span.start : span.start + span.tokens]
        lines.append(Line(np.asarray(text), speech, np.append(heard, len(text) - 1)))
    return lines


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded at the end. `ids` and `positions` index the joined text and speech tables."""

    ids: Tensor  # (B, L); speech ids come after the text vocabulary
    positions: Tensor  # (B, L); speech positions come after the text positions
    is_text: Tensor  # (B, L)
    targets: Tensor  # (B, L) speech id to predict, -100 elsewhere
    heard: Tensor  # (B, L) place to look at, 0 where there is nothing to predict


def collate(lines: list[Line], config: T3Config, rng: np.random.Generator, slips: float) -> Batch:
    """Lay rows out as the model reads them; `slips` of the past tokens are replaced."""
    assert config.text_positions is not None
    length = max(line.places for line in lines)
    ids = np.zeros((len(lines), length), np.int64)
    positions = np.zeros_like(ids)
    is_text = np.zeros(ids.shape, bool)
    targets = np.full_like(ids, -100)
    heard = np.zeros_like(ids)
    for row, line in enumerate(lines):
        past = _with_slips(line.speech, config.speech_codes, slips, rng)
        start = _VOICE_PLACES + len(line.text)
        end = start + 2 + len(past)
        ids[row, _VOICE_PLACES:start] = line.text
        positions[row, _VOICE_PLACES:start] = np.arange(len(line.text))
        is_text[row, _VOICE_PLACES:start] = True
        spoken = np.concatenate([[config.start_speech] * 2, past])
        ids[row, start:end] = config.text_vocabulary + spoken
        steps = np.maximum(0, np.arange(len(spoken)) - 1)
        positions[row, start:end] = config.text_positions + steps
        targets[row, start + 1 : end] = np.append(line.speech, config.stop_speech)
        heard[row, start + 1 : end] = _VOICE_PLACES + line.heard
    arrays = (ids, positions, is_text, targets, heard)
    return Batch(*(torch.from_numpy(array) for array in arrays))


def _with_slips(
    speech: NDArray[np.int64], codes: int, slips: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Some tokens become another code of the utterance or any code, or repeat the one before."""
    past = speech.copy()
    wrong = rng.random(len(past)) < slips
    kind = rng.random(len(past))
    anything = rng.integers(0, codes, len(past))
    elsewhere = speech[rng.integers(0, len(speech), len(past))]
    before = np.concatenate([speech[:1], speech[:-1]])
    choice = np.where(kind < 0.3, anything, np.where(kind < 0.65, elsewhere, before))
    past[wrong] = choice[wrong]
    return past


def embed(model: T3, batch: Batch, speaker: Tensor, silent: Tensor) -> Tensor:
    """(B, L) rows to embeddings; rows of `silent` (B,) have text positions but no text."""
    assert model.text_position is not None
    assert model.speech_position is not None
    table = torch.cat([model.text_embedding.weight, model.speech_embedding.weight])
    places = torch.cat([model.text_position.weight, model.speech_position.weight])
    content = functional.embedding(batch.ids, table)
    content = content * (~(batch.is_text & silent[:, None]))[..., None]
    embeds = content + functional.embedding(batch.positions, places)
    exaggeration = 1.5 * torch.rand(len(speaker))
    voice = model.embed_voice(speaker, batch.ids.new_zeros(len(speaker), 0), exaggeration)
    return torch.cat([voice, embeds[:, _VOICE_PLACES:]], dim=1)


@dataclass
class T3Task(Task):
    """Next-token prediction plus guided attention."""

    lines: list[Line]
    speakers: Tensor  # (voices, n, 256) embeddings of the voices' utterances
    config: T3Config = field(default_factory=T3Config.tiny)
    places: int = 2000  # per batch, padding included
    slips: float = 0.08
    silent: float = 0.1
    short_until: int = 600  # steps with utterances of at most 4 s
    guided_layers: tuple[int, ...] = (1, 2)
    guide_weight: float = 0.3

    def __post_init__(self) -> None:
        self.model = T3(self.config)
        for table in (self.model.text_position, self.model.speech_position):
            assert table is not None
            torch.nn.init.zeros_(table.weight)
        self.trained = self.model
        self.order = sorted(range(len(self.lines)), key=lambda i: self.lines[i].places)
        self.short = sum(len(line.speech) <= 100 for line in self.lines)

    def draw(self, step: int, rng: np.random.Generator) -> list[Line]:
        """Neighbours in length, as many as fit; places are drawn evenly, not utterances."""
        pool = self.order[: self.short] if step < self.short_until else self.order
        middle = int(rng.integers(0, len(pool)))
        longest = self.lines[pool[min(len(pool) - 1, middle + 30)]].places
        count = max(1, self.places // longest)
        low = max(0, middle - 30)
        near = pool[low : middle + 31]
        picked = rng.choice(len(near), size=min(count, len(near)), replace=False)
        return [self.lines[near[i]] for i in picked]

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        lines = self.draw(step, rng)
        batch = collate(lines, self.config, rng, self.slips)
        voice = torch.from_numpy(rng.integers(0, self.speakers.shape[0], len(lines)))
        which = torch.from_numpy(rng.integers(0, self.speakers.shape[1], len(lines)))
        silent = torch.from_numpy(rng.random(len(lines)) < self.silent)
        embeds = embed(self.model, batch, self.speakers[voice, which], silent)
        looks: list[Tensor] = []
        positions = torch.arange(embeds.shape[1]).expand(embeds.shape[:2])
        _, places = self.model.backbone.place(embeds, positions)

        def watch(layer: int, x: Tensor) -> None:
            if layer in self.guided_layers:
                attention = self.model.backbone.blocks[layer].attention
                assert isinstance(attention, CausalAttention)
                weights = attention.weights(x, places, [_GUIDED_HEAD])[:, 0]
                looks.append(weights.gather(2, batch.heard[..., None])[..., 0])

        guided = self.guide_weight > 0
        hidden = self.model.hidden(embeds, watch=watch if guided else None)
        spoken = batch.targets >= 0
        logits = self.model.speech_head(hidden[spoken])
        targets = batch.targets[spoken]
        said = ~silent[:, None].expand_as(spoken)[spoken]
        scores = functional.cross_entropy(logits, targets, reduction="none")
        total = scores.mean()
        figures = {
            "ce": scores[said].mean().item() if said.any() else 0.0,
            "right": (logits.argmax(-1) == targets)[said].float().mean().item()
            if said.any()
            else 0.0,
            "tokens": float(len(targets)),
        }
        if guided:
            heard = (spoken & ~silent[:, None]).float()
            nll = sum((-(look + 1e-6).log() * heard).sum() for look in looks)
            nll = nll / heard.sum().clamp(min=1) / len(looks)
            total = total + self.guide_weight * nll
            figures["look"] = nll.item()
        return total, figures


def train_t3(workdir: Path, run: Run) -> None:
    """Train, or go on training, and leave `t3.pt` in the work directory."""
    lines = lines_of(workdir / "ada", T3Config.tiny())[HELD_OUT:]
    speakers = torch.load(workdir / "speakers.pt", weights_only=True)
    train(T3Task(lines, speakers), run, workdir / "t3.pt")
