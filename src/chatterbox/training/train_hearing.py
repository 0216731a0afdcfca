"""Training of the tokenizer's hearing: the same codes in other voices, and in what S3Gen says.

The tokenizer has learnt from two voices of one teacher, and hears other speakers, and S3Gen itself, as
something else, which is what voice conversion suffers from. The codes keep their meaning here, so
that flow and T3 fit them still: what the bundled tokenizer hears in the teacher is the truth, and
the same tokens said by S3Gen and by morphs of the teacher are to be heard as that. The length of the
vocal tract (VTLP, Jaitly and Hinton 2013), level, tone and noise of the room vary, and bands are
hidden (SpecAugment, arXiv:1904.08779).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from chatterbox.audio.clip import Clip
from chatterbox.audio.mel import slaney_centres
from chatterbox.audio.resample import soxr
from chatterbox.models.bundle import BUNDLED_S3GEN
from chatterbox.models.checkpoint import load_strict
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.s3tokenizer.config import LEVELS
from chatterbox.models.s3tokenizer.model import S3Tokenizer
from chatterbox.models.s3tokenizer.stream import level_gain
from chatterbox.training.checkpoints import load
from chatterbox.training.data import TOKEN, TOKENIZER_BINS, Span
from chatterbox.training.export import ASSETS, halves
from chatterbox.training.links import mel_from_tokens, sound
from chatterbox.training.loop import Run, Task, train
from chatterbox.training.teacher import SAMPLE_RATE, Recordings, Rendering, morph
from chatterbox.training.train_tokenizer import HELD_OUT
from chatterbox.voices.library import VoiceLibrary

UTTERANCES = 2000  # three and a half hours
# How a token may be said, and how often it is drawn.
SHARES = {"teacher": 0.15, "morph": 0.3, "ada": 0.275, "ben": 0.275}
_PITCH, _FORMANTS, _PITCH_RANGE = (0.5, 1.3), (0.78, 1.18), (0.7, 1.4)  # of the morphs
_FRAMES_PER_TOKEN = 4
_SHARPNESS = 0.35  # standard deviation of a digit that is read as its level
_SMOOTHING = 0.05
_WARPED, _TRACT = 0.5, (0.85, 1.18)  # how often, and times the frequency
_HIDDEN, _BAND = 0.3, (4, 18)  # how often, and how many bins
# The log mel counts 40 dB as one.
_DB = 1 / 40
_TO_POWER = 4 * np.log(10)
_LEVEL_DB, _TILT_DB, _NOISE_DB = 4.0, 5.0, (-75.0, -35.0)


def bundled_s3gen() -> S3Gen:
    """The S3Gen that ships."""
    s3gen = S3Gen(S3GenConfig.tiny())
    load_strict(s3gen, ASSETS / BUNDLED_S3GEN)
    return s3gen.eval().requires_grad_(requires_grad=False)


class Renditions:
    """Log mels of the same tokens, said by all; memory-mapped, rows 4 t to 4 t + 3 are token t."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "spans.jsonl").read_text().splitlines()
        self.spans = [Span(*json.loads(line)) for line in lines]
        self.tokens = np.fromfile(folder / "tokens.i16", np.int16)
        self.mels = {
            name: np.memmap(folder / f"{name}.f16", np.float16, "r").reshape(-1, TOKENIZER_BINS)
            for name in SHARES
        }

    def mel(self, name: str, start: int, tokens: int) -> NDArray[np.float32]:
        """(bins, 4 a token) of so many tokens as one says them."""
        rows = slice(_FRAMES_PER_TOKEN * start, _FRAMES_PER_TOKEN * (start + tokens))
        return np.asarray(self.mels[name][rows], np.float32).T


@torch.inference_mode()
def write_renditions(workdir: Path) -> None:
    """Let all say the tokens of the first recordings; once, since the bundled tokenizer changes."""
    folder = workdir / "hearing"
    if (folder / "spans.jsonl").exists():
        return
    folder.mkdir(exist_ok=True)
    s3gen, recordings = bundled_s3gen(), Recordings(workdir / "ada")
    library = VoiceLibrary()
    voices = {name: library.conditioning(name, "tiny").s3gen.x_vector for name in ("ada", "ben")}
    spans, first = [], 0
    files: dict[str, Any] = {name: (folder / f"{name}.f16").open("wb") for name in SHARES}
    with (folder / "tokens.i16").open("wb") as all_tokens:
        for i in range(min(UTTERANCES, len(recordings.entries))):
            rendering = recordings.load(i)
            mel = _log_mel(s3gen, _whole(rendering.samples))
            tokens = s3gen.tokenizer(mel, torch.tensor([mel.shape[-1]]))[0]
            all_tokens.write(tokens[0].numpy().astype(np.int16).tobytes())
            mels = {"teacher": mel, "morph": _log_mel(s3gen, _morphed(rendering, seed=i))}
            for name, x_vector in voices.items():
                said = sound(s3gen.mel2wav, mel_from_tokens(s3gen.flow, tokens, x_vector))
                mels[name] = _log_mel(s3gen, said)
            for name, rows in mels.items():
                files[name].write(rows[0].T.numpy().astype(np.float16).tobytes())
            spans.append([first, tokens.shape[1]])
            first += tokens.shape[1]
    for file in files.values():
        file.close()
    (folder / "spans.jsonl").write_text("".join(f"{json.dumps(span)}\n" for span in spans))


def _morphed(rendering: Rendering, *, seed: int) -> NDArray[np.float32]:
    """The same said by somebody else."""
    rng = np.random.default_rng(seed)
    other = morph(
        rendering,
        pitch=float(np.exp(rng.uniform(*np.log(_PITCH)))),
        formants=rng.uniform(*_FORMANTS),
        pitch_range=rng.uniform(*_PITCH_RANGE),
    )
    return _whole(other.samples)


def _whole(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Padded to whole tokens."""
    return np.pad(samples, (0, -len(samples) % TOKEN))


def _log_mel(s3gen: S3Gen, samples: NDArray[Any]) -> Tensor:
    """(n,) at 24 kHz -> (1, bins, 4 a token), at the level that conversion brings speech to."""
    level = s3gen.config.tokenizer.level_dbfs
    assert level is not None
    low = torch.from_numpy(soxr(Clip(samples.astype(np.float32), SAMPLE_RATE), 16000).samples)
    mel = s3gen.tokenizer.log_mel((low * level_gain(low, level))[None])
    return mel[..., : len(samples) // TOKEN * _FRAMES_PER_TOKEN]


@dataclass
class HearingTask(Task):
    """Windows of any rendition, heard as the tokens that it says."""

    renditions: Renditions
    batch: int = 12
    length: int = 75  # tokens

    def __post_init__(self) -> None:
        self.model = bundled_s3gen().tokenizer.train().requires_grad_(requires_grad=True)
        self.trained = self.model
        self._levels = torch.arange(LEVELS) - 1.0

    def loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        names = rng.choice(list(SHARES), self.batch, p=list(SHARES.values()))
        starts = [self._place(rng) for _ in names]
        mels = [
            varied(self.renditions.mel(name, start, self.length), rng)
            for name, start in zip(names, starts, strict=True)
        ]
        tokens = [self.renditions.tokens[start : start + self.length] for start in starts]
        truth = torch.from_numpy(np.stack(tokens).astype(np.int64))
        values = self.model.prequant(self.model.encode(torch.from_numpy(np.stack(mels))))
        scores = -(values[..., None] - self._levels).square() / (2 * _SHARPNESS**2)
        digits = _digits(truth, values.shape[-1])
        loss = functional.cross_entropy(
            scores.flatten(0, 2), digits.flatten(), label_smoothing=_SMOOTHING
        )
        right = scores.argmax(-1) == digits
        return loss, {
            "digits": right.float().mean().item(),
            "tokens": right.all(-1).float().mean().item(),
        }

    def _place(self, rng: np.random.Generator) -> int:
        while True:
            span = self.renditions.spans[int(rng.integers(HELD_OUT, len(self.renditions.spans)))]
            if span.tokens >= self.length:
                return span.start + int(rng.integers(0, span.tokens - self.length + 1))


def _digits(tokens: Tensor, count: int) -> Tensor:
    """(...,) codes -> (..., digits) levels, 0 to 2."""
    return tokens[..., None] // LEVELS ** torch.arange(count) % LEVELS


def varied(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(bins, frames) as another speaker, room and microphone would have it."""
    if rng.random() < _WARPED:
        mel = _warped(mel, rng.uniform(*_TRACT))
    across = np.linspace(0, np.pi, len(mel))[:, None]
    tilt = sum(rng.uniform(-1, 1) * np.cos(k * across) for k in (1, 2, 3)) * (_TILT_DB * _DB / 2)
    speech = mel + rng.uniform(-_LEVEL_DB, _LEVEL_DB) * _DB + tilt
    noise = mel.max() + rng.uniform(*_NOISE_DB) * _DB
    # Powers add, and the log mel is a quarter of their common logarithm.
    heard: NDArray[Any] = np.logaddexp(speech * _TO_POWER, noise * _TO_POWER) / _TO_POWER
    if rng.random() < _HIDDEN:
        first, width = rng.integers(0, len(mel) - _BAND[1]), rng.integers(*_BAND)
        heard[first : first + width] = heard.mean()
    return heard.astype(np.float32)


def _warped(mel: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The spectrum moved up by a factor of frequency."""
    centres = slaney_centres(len(mel), 0.0, 8000.0)
    bins = np.arange(len(mel))
    source = np.interp(centres / factor, centres, bins)
    low = source.astype(int)
    high = np.minimum(low + 1, bins[-1])
    part = (source - low)[:, None].astype(np.float32)
    moved: NDArray[np.float32] = mel[low] * (1 - part) + mel[high] * part
    return moved


@torch.inference_mode()
def agreement(tokenizer: S3Tokenizer, renditions: Renditions) -> dict[str, float]:
    """The share of tokens heard as they were said, by rendition, where no training saw them."""
    shares = {}
    for name in SHARES:
        right = total = 0
        for span in renditions.spans[:HELD_OUT]:
            mel = torch.from_numpy(renditions.mel(name, span.start, span.tokens).copy())[None]
            heard = tokenizer(mel, torch.tensor([mel.shape[-1]]))[0][0].numpy()
            said = renditions.tokens[span.start : span.start + span.tokens]
            right, total = right + int((heard == said).sum()), total + span.tokens
        shares[name] = right / total
    return shares


def train_hearing(workdir: Path, run: Run) -> None:
    """Train, or go on training, and put the averaged tokenizer in the place of the bundled one."""
    write_renditions(workdir)
    renditions = Renditions(workdir / "hearing")
    task = HearingTask(renditions)
    before = agreement(bundled_s3gen().tokenizer, renditions)
    train(task, run, workdir / "hearing.pt")
    state = load(workdir / "hearing.pt")
    assert state is not None
    task.model.load_state_dict(state["average"])
    after = agreement(task.model.eval(), renditions)
    lines = [f"{name}: {before[name]:.3f} -> {after[name]:.3f}\n" for name in SHARES]
    (workdir / "hearing.txt").write_text("".join(lines))
    replace_tokenizer(task.model, ASSETS / BUNDLED_S3GEN)


def replace_tokenizer(tokenizer: S3Tokenizer, file: Path) -> None:
    """Put a tokenizer in the place of that of an S3Gen file; the rest stays as it is."""
    tensors = load_file(file)
    ours = {f"tokenizer.{name}": tensor for name, tensor in halves(tokenizer).items()}
    assert ours.keys() <= tensors.keys()
    save_file(tensors | ours, file)
