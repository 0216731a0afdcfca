"""Speakers: our VoiceEncoder with Resemblyzer's weights, and the embeddings of the voices."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.resample import soxr
from chatterbox.models.bundle import BUNDLED_VOICE_ENCODER, bundled_folder
from chatterbox.models.checkpoint import VOICE_ENCODER_NAMES, load_strict
from chatterbox.models.families import TINY
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.training.teacher import SAMPLE_RATE, Recordings

Samples = NDArray[np.float32]
_LEVEL_DBFS = -30.0  # Resemblyzer was trained on clips of this loudness


def pretrained_voice_encoder() -> VoiceEncoder:
    """The GE2E network that comes with the tiny family: Resemblyzer's (Apache-2.0), not trained here."""
    encoder = VoiceEncoder()
    load_strict(encoder, bundled_folder(TINY) / BUNDLED_VOICE_ENCODER, names=VOICE_ENCODER_NAMES)
    return encoder.eval()


def levelled(samples: Samples) -> Samples:
    """The samples at Resemblyzer's loudness."""
    level = 10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12)
    return samples * np.float32(10 ** ((_LEVEL_DBFS - level) / 20))


@torch.no_grad()
def embed(encoder: VoiceEncoder, samples: Samples, sample_rate_hz: int = SAMPLE_RATE) -> Tensor:
    """(n,) samples -> unit vector (256,)."""
    low = soxr(Clip(samples.astype(np.float32), sample_rate_hz), 16000).samples
    return encoder.embed(torch.from_numpy(levelled(low)))


def embed_voices(workdir: Path, voices: tuple[str, ...], *, count: int, skip: int) -> Tensor:
    """(voices, count, 256): `count` utterances of each; also saved as `speakers.pt`."""
    encoder = pretrained_voice_encoder()
    rows = []
    for voice in voices:
        recordings = Recordings(workdir / voice)
        lengths = [entry["size"] for entry in recordings.entries[skip:]]
        usable = [skip + i for i, size in enumerate(lengths) if size > 3 * SAMPLE_RATE][:count]
        rows.append(torch.stack([embed(encoder, recordings.load(i).samples) for i in usable]))
    speakers = torch.stack(rows)
    torch.save(speakers, workdir / "speakers.pt")
    return speakers
