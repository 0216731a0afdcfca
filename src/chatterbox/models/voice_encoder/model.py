"""VoiceEncoder: who is speaking, as a unit vector (L. Wan et al., GE2E, 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.audio.mel import voice_encoder_mel
from chatterbox.models.voice_encoder.config import VoiceEncoderConfig
from chatterbox.models.voice_encoder.features import speech_bounds, windows

_BATCH = 32  # windows at a time; bounds the memory, does not change the result
_SHORTEST = 400  # samples; less than one mel window is filled up with silence


class VoiceEncoder(nn.Module):
    """An LSTM over windows of 1.6 s; a clip is the mean of its windows."""

    def __init__(self, config: VoiceEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VoiceEncoderConfig()
        self.lstm = nn.LSTM(
            config.mel_bins, config.hidden_dim, num_layers=config.layers, batch_first=True
        )
        self.projection = nn.Linear(config.hidden_dim, config.embedding_dim)
        # Scale and offset of the similarities it was trained on; part of the official file.
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, mel: Tensor) -> Tensor:
        """Windows (n, frames, bins) -> unit vectors (n, embedding)."""
        _, (hidden, _) = self.lstm(mel)
        return functional.normalize(torch.relu(self.projection(hidden[-1])), dim=-1)

    def embed(
        self, wav16k: Tensor, *, trimmed: bool = True, step_frames: int | None = None
    ) -> Tensor:
        """One clip (n,) at 16 kHz -> its unit vector (embedding,).

        `trimmed` leaves out the silence at both ends. `step_frames` is the distance of
        windows, by default the configuration's.
        """
        parts = self.cut(wav16k, trimmed=trimmed, step_frames=step_frames)
        embeddings = torch.cat([self(part) for part in torch.split(parts, _BATCH)])
        return functional.normalize(embeddings.mean(0), dim=-1)

    def embed_speaker(self, clips16k: Sequence[Tensor]) -> Tensor:
        """Several clips of one speaker -> one unit vector (embedding,)."""
        embeddings = torch.stack([self.embed(clip) for clip in clips16k])
        return functional.normalize(embeddings.mean(0), dim=-1)

    def cut(
        self, wav16k: Tensor, *, trimmed: bool = True, step_frames: int | None = None
    ) -> Tensor:
        """One clip (n,) -> the windows of its mel that `forward` takes: (count, frames, bins)."""
        config = self.config
        if trimmed:
            start, end = speech_bounds(wav16k, config.trim_below_db)
            wav16k = wav16k[start:end]
        wav16k = functional.pad(wav16k, (0, max(0, _SHORTEST - wav16k.shape[0])))
        return windows(
            voice_encoder_mel(wav16k[None])[0],
            window=config.window_frames,
            step=step_frames or config.step_frames,
            min_coverage=config.min_coverage,
        )
