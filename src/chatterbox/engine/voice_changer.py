"""VoiceChanger: speech into another voice, stretch by stretch, at a cost that does not grow.

The S3 tokenizer hears what is said, S3Gen says it in the target's voice, as it says what T3 has
drawn. It runs on the thread that owns the device (docs/adr/0003), in pieces short enough that
speaking need not wait long.
"""

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.stitch import fade_out
from chatterbox.audio.stretches import LISTENING_HZ, Stretch
from chatterbox.engine.s3gen_runner import SeededNoise
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import Conditioning
from chatterbox.models.s3gen.stream import (
    ChunkInput,
    StreamSettings,
    StreamState,
    hear_prompt,
    render_chunks,
    start_stream,
)
from chatterbox.models.s3tokenizer.stream import TokenStream

_FADE_S = 0.01  # at the end: the last sample need not be zero
_CHUNK_TOKENS = 50  # rendered at once, at most


class VoiceChanger:
    """One source on its way into one voice. One seed, one result, however the source arrives."""

    def __init__(self, models: Models, voice: Conditioning, *, seed: int) -> None:
        s3gen = models.s3gen
        self._s3gen = s3gen
        self._settings = StreamSettings()
        self._tokens = TokenStream(s3gen.tokenizer, level_dbfs=s3gen.tokenizer.config.level_dbfs)
        self._noise = SeededNoise(
            seed,
            bins=s3gen.config.flow.mel_bins,
            harmonics=s3gen.config.vocoder.overtones + 1,
            samples_per_frame=s3gen.config.vocoder.samples_per_frame,
            device=models.device,
        )
        self._prompt = hear_prompt(s3gen, voice.to(models.device).s3gen, self._settings)
        self._state: StreamState = start_stream(s3gen, self._prompt, self._noise, self._settings)
        self._waiting = torch.zeros(0, dtype=torch.int64, device=models.device)  # tokens not heard
        self._samples_in = 0
        self._samples_out = 0

    def change(self, stretch: Stretch) -> Generator[None, None, Clip]:
        """The next stretch, piece by piece; its sound lags behind by the look-ahead.

        That of the last one ends where the source ends.
        """
        self._samples_in += len(stretch.own)
        tokens = self._tokens.tokens(stretch)
        self._waiting = torch.cat([self._waiting, tokens])
        yield
        ahead = 0 if stretch.is_last else self._settings.right_tokens
        pieces = [np.zeros(0, np.float32)]
        while len(self._waiting) > ahead:
            kept = min(_CHUNK_TOKENS, len(self._waiting) - ahead)
            pieces.append(self._render(kept).cpu().numpy())
            if len(self._waiting) > ahead:
                yield
        samples = np.concatenate(pieces)
        if stretch.is_last:
            samples = self._cut_to_length(samples)
        self._samples_out += len(samples)
        return Clip(samples, self._s3gen.sample_rate_hz)

    def _render(self, kept: int) -> Tensor:
        """The sound of the next `kept` tokens."""
        chunk = ChunkInput(
            prompt=self._prompt,
            noise=self._noise,
            state=self._state,
            tokens=self._waiting[: kept + self._settings.right_tokens],
            kept=kept,
        )
        [(samples, self._state)] = render_chunks(self._s3gen, [chunk], self._settings)
        self._waiting = self._waiting[kept:]
        return samples

    def _cut_to_length(self, samples: np.ndarray) -> np.ndarray:
        """Tokens are 40 ms long and a source is not: less than that is cut off or added."""
        rate = self._s3gen.sample_rate_hz
        wanted = max(0, round(self._samples_in * rate / LISTENING_HZ) - self._samples_out)
        kept = fade_out(Clip(samples[:wanted], rate), seconds=_FADE_S).samples
        return np.pad(kept, (0, wanted - len(kept)))
