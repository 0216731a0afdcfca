"""Perceiver: a prompt of any length as a fixed number of vectors (A. Jaegle et al., 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CrossAttention(nn.Module):
    """Attention of one sequence to another, added to the asking one. No MLP follows."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)  # the same for both sides
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, asking: Tensor, answering: Tensor) -> Tensor:
        """(rows, n, dim) and (rows, m, dim) -> (rows, n, dim)."""
        normalised = self.norm(answering)
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(self.norm(asking))),
            self._split(self.key(normalised)),
            self._split(self.value(normalised)),
        )
        return asking + self.output(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Perceiver(nn.Module):
    """Learned queries look at the prompt, then at one another, through the same weights."""

    def __init__(self, dim: int, heads: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(1, queries, dim))
        self.attention = CrossAttention(dim, heads)
        nn.init.normal_(self.queries, std=queries**-0.5)

    def forward(self, prompt: Tensor) -> Tensor:
        """(rows, time, dim) -> (rows, queries, dim)."""
        latents = self.attention(self.queries.expand(prompt.shape[0], -1, -1), prompt)
        return self.attention(latents, latents)  # type: ignore[no-any-return]
