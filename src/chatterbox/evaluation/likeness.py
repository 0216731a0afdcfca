"""Likeness: whose voice a clip resembles, by the speaker encoder that comes with `tiny`.

Its weights are those of Resemblyzer, a pretrained GE2E network (L. Wan et al., 2018), so a cosine
here is Resemblyzer's.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from chatterbox.audio.clip import Clip
from chatterbox.audio.resample import soxr
from chatterbox.models.checkpoint import VOICE_ENCODER_NAMES, load_strict
from chatterbox.models.voice_encoder.model import VoiceEncoder

_RATE_HZ = 16_000
_LOUDNESS = 10 ** (-30 / 20)  # RMS that Resemblyzer's network expects of its input


def speaker_embedder() -> Callable[[Clip], np.ndarray]:
    """A function from a clip to its speaker embedding: (256,), unit norm."""
    encoder = VoiceEncoder()
    weights = Path(str(resources.files("chatterbox"))) / "assets" / "tiny" / "ve.safetensors"
    load_strict(encoder, weights, names=VOICE_ENCODER_NAMES)
    encoder.eval()

    @torch.inference_mode()
    def embed(clip: Clip) -> np.ndarray:
        samples = soxr(clip, _RATE_HZ).samples
        level = float(np.sqrt(np.mean(samples**2))) or 1.0
        wav = torch.from_numpy(samples * np.float32(_LOUDNESS / level))
        embedding: np.ndarray = encoder.embed(wav).numpy()
        return embedding

    return embed
