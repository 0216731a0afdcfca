"""Likeness: whose voice a clip resembles, by the speaker encoder that comes with `tiny`.

Its weights are those of Resemblyzer, a pretrained GE2E network (L. Wan et al., 2018), so a cosine
here is Resemblyzer's.
"""

from collections.abc import Callable

import numpy as np
import torch

from chatterbox.audio.clip import Clip
from chatterbox.audio.resample import soxr
from chatterbox.models.bundle import BUNDLED_VOICE_ENCODER, bundled_folder
from chatterbox.models.checkpoint import VOICE_ENCODER_NAMES, load_strict
from chatterbox.models.families import TINY
from chatterbox.models.voice_encoder.features import at_level
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.voices.rules import TINY_SPEAKER_DBFS

_RATE_HZ = 16_000


def pretrained_voice_encoder() -> VoiceEncoder:
    """The bundled GE2E network, as it came from Resemblyzer (Apache-2.0)."""
    encoder = VoiceEncoder()
    load_strict(encoder, bundled_folder(TINY) / BUNDLED_VOICE_ENCODER, names=VOICE_ENCODER_NAMES)
    return encoder.eval()


def speaker_embedder() -> Callable[[Clip], np.ndarray]:
    """A function from a clip to its speaker embedding: (256,), unit norm."""
    encoder = pretrained_voice_encoder()

    @torch.no_grad()  # not inference_mode: training goes on with what comes out
    def embed(clip: Clip) -> np.ndarray:
        wav = torch.from_numpy(soxr(clip, _RATE_HZ).samples)
        embedding: np.ndarray = encoder.embed(at_level(wav, TINY_SPEAKER_DBFS)).numpy()
        return embedding

    return embed
