"""Data: features of the recordings on disk, and random batches of them.

Everything is laid out in speech tokens of 40 ms: 960 samples at 24 kHz, two mel frames at 50 Hz,
four tokenizer frames at 100 Hz. Utterances are padded with silence to whole tokens.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.mel import s3gen_log_mel, slaney_filterbank, tokenizer_log_mel
from chatterbox.audio.resample import soxr
from chatterbox.text.phonemes import SYMBOLS, symbols_of
from chatterbox.training.teacher import FRAME, SAMPLE_RATE, Recordings, Rendering

TOKEN = 960  # samples at 24 kHz
MEL_BINS, TOKENIZER_BINS = 80, 128
_SYMBOL_ID = {symbol: i for i, symbol in enumerate(SYMBOLS)}
_SPACE = _SYMBOL_ID[" "]
_PAUSES = frozenset(' .,?!;:—…"“”()')


def symbol_ids(phonemes: str) -> list[int]:
    """Ids of a phoneme string, without start and stop."""
    return [_SYMBOL_ID[s] for s in symbols_of(phonemes)]


def symbol_samples(rendering: Rendering) -> list[int]:
    """Duration of every symbol in samples at 24 kHz, with the outer silences at both ends."""
    durations = [rendering.frames[0] * FRAME]
    position = 1
    for symbol in symbols_of(rendering.phonemes):
        durations.append(FRAME * sum(rendering.frames[position : position + len(symbol)]))
        position += len(symbol)
    durations.append(rendering.frames[-1] * FRAME)
    return durations


def sound_labels(rendering: Rendering, frames: int) -> NDArray[np.int16]:
    """What is heard in each 20 ms frame: a symbol id, stress removed, every pause one label."""
    sounds = [_SPACE]
    for symbol in symbols_of(rendering.phonemes):
        bare = symbol.strip("ˈˌ") or symbol
        sounds.append(_SPACE if bare in _PAUSES else _SYMBOL_ID[bare])
    sounds.append(_SPACE)
    ends = np.cumsum(symbol_samples(rendering))
    at = np.searchsorted(ends, np.arange(frames) * (TOKEN // 2) + TOKEN // 4, side="right")
    return np.asarray([*sounds, _SPACE], np.int16)[np.minimum(at, len(sounds))]


@dataclass(frozen=True, slots=True)
class Span:
    """Where one utterance lies in the feature files, in tokens."""

    start: int
    tokens: int


class Features:
    """Memory-mapped features of one voice; row t of a file belongs to token t // rate."""

    def __init__(self, folder: Path) -> None:
        self.spans = [Span(**line) for line in _lines(folder / "spans.jsonl")]
        self.audio = np.memmap(folder / "audio24.i16", np.int16, "r")
        self.mel = np.memmap(folder / "mel.f16", np.float16, "r").reshape(-1, MEL_BINS)
        self.tokenizer_mel = np.memmap(folder / "tokenizer_mel.f16", np.float16, "r").reshape(
            -1, TOKENIZER_BINS
        )
        self.f0 = np.memmap(folder / "f0_50hz.f16", np.float16, "r")
        self.labels = np.memmap(folder / "labels.i16", np.int16, "r")
        voiced = np.log(np.asarray(self.f0[self.f0 > 0][:2_000_000], np.float32))
        self.log_f0_mean, self.log_f0_std = float(voiced.mean()), float(voiced.std())

    @property
    def hours(self) -> float:
        return sum(span.tokens for span in self.spans) / 25 / 3600


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def extract(folder: Path, *, limit: int) -> None:
    """Compute the features of the recordings in `folder`, continuing after the last finished."""
    recordings = Recordings(folder)
    done = _lines(folder / "spans.jsonl")
    start = sum(span["tokens"] for span in done)
    filters = slaney_filterbank(16000, 400, TOKENIZER_BINS, 0.0, 8000.0)
    window = torch.hann_window(400)
    with (folder / "spans.jsonl").open("a") as spans:
        for i in range(len(done), min(limit, len(recordings.entries))):
            rendering = recordings.load(i)
            tokens = -(-len(rendering.samples) // TOKEN)
            samples = np.pad(rendering.samples, (0, tokens * TOKEN - len(rendering.samples)))
            low = soxr(Clip(samples, SAMPLE_RATE), 16000).samples
            wide = tokenizer_log_mel(torch.from_numpy(low), filters, window).T
            mel = s3gen_log_mel(torch.from_numpy(samples)[None])[0].T
            at = np.round((np.arange(2 * tokens) + 0.5) * (TOKEN // 2) / FRAME).astype(int)
            f0 = rendering.f0[np.minimum(at, len(rendering.f0) - 1)]
            rows = {
                "audio24.i16": (samples * 32767).astype(np.int16),
                "mel.f16": mel.numpy().astype(np.float16),
                "tokenizer_mel.f16": wide[: 4 * tokens].numpy().astype(np.float16),
                "f0_50hz.f16": f0.astype(np.float16),
                "labels.i16": sound_labels(rendering, 2 * tokens),
            }
            for name, values in rows.items():
                _write_rows(folder / name, values, start * (len(values) // tokens))
            spans.write(json.dumps({"start": start, "tokens": tokens}) + "\n")
            spans.flush()
            start += tokens


def _write_rows(path: Path, values: NDArray[Any], first_row: int) -> None:
    row_bytes = values.nbytes // len(values)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.seek(first_row * row_bytes)
        file.write(values.tobytes())


@dataclass(frozen=True, slots=True)
class Crops:
    """A batch of equally long windows. T is in tokens."""

    audio: Tensor  # (B, 960 T)
    mel: Tensor  # (B, 80, 2T)
    tokenizer_mel: Tensor  # (B, 128, 4T)
    f0: Tensor  # (B, 2T) Hz, 0 unvoiced
    labels: Tensor  # (B, 2T)
    voice: Tensor  # (B,) index of the voice
    place: list[tuple[int, int, int]]  # voice, utterance, first token within it


def crop(voices: list[Features], places: list[tuple[int, int, int]], tokens: int) -> Crops:
    """Windows of `tokens` tokens at (voice, utterance, first token)."""

    def cut(name: str, rate: int) -> NDArray[Any]:
        rows = []
        for voice, utterance, first in places:
            start = voices[voice].spans[utterance].start + first
            rows.append(getattr(voices[voice], name)[start * rate : (start + tokens) * rate])
        return np.stack(rows)

    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    return Crops(
        audio=tensor(cut("audio", TOKEN)) / 32767,
        mel=tensor(cut("mel", 2).swapaxes(1, 2)),
        tokenizer_mel=tensor(cut("tokenizer_mel", 4).swapaxes(1, 2)),
        f0=tensor(cut("f0", 2)),
        labels=torch.from_numpy(cut("labels", 2).astype(np.int64)),
        voice=torch.tensor([place[0] for place in places]),
        place=places,
    )


def random_place(
    features: Features, voice: int, tokens: int, rng: np.random.Generator, *, skip: int = 0
) -> tuple[int, int, int]:
    """A window inside one utterance at least that long; the first `skip` ones are held out."""
    while True:
        utterance = int(rng.integers(skip, len(features.spans)))
        room = features.spans[utterance].tokens - tokens
        if room >= 0:
            return voice, utterance, int(rng.integers(0, room + 1))
