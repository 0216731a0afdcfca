"""Conditioner: speaker, prompt and exaggeration as the first embeddings of a sequence."""

import torch
from torch import Tensor, nn

from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.perceiver import Perceiver


class Conditioner(nn.Module):
    """Order on the time axis: speaker (1), prompt (queries, or a token each), emotion (0 or 1)."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.speaker = nn.Linear(config.speaker_dim, config.dim)
        self.perceiver = (
            None
            if config.perceiver_queries is None
            else Perceiver(config.dim, config.perceiver_heads, config.perceiver_queries)
        )
        self.emotion = nn.Linear(1, config.dim, bias=False) if config.emotion else None

    def forward(self, speaker: Tensor, prompt: Tensor, exaggeration: Tensor) -> Tensor:
        """(rows, speaker dim), embedded prompt (rows, n, dim), (rows,) -> (rows, time, dim).

        An empty prompt leaves its places out.
        """
        parts = [self.speaker(speaker).unsqueeze(1)]
        if prompt.shape[1] > 0:
            parts.append(prompt if self.perceiver is None else self.perceiver(prompt))
        if self.emotion is not None:
            parts.append(self.emotion(exaggeration[:, None, None]))
        return torch.cat(parts, dim=1)
