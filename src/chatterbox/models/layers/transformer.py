"""A causal pre-norm transformer, whatever its norms, attention and MLP are."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.rows import add

Watcher = Callable[[int, Tensor], None]


class Memory(Protocol):
    """Keys and values of earlier positions, during one pass over a batch of rows."""

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Keep what is new, and let each query see its row up to itself.

        All, the result too, are (rows, heads, time, head_dim).
        """
        ...


class CausalAttention(nn.Module):
    """What every self-attention here has in common; subclasses say how x is projected."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def project(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(rows, time, dim) -> queries, keys, values, (rows, heads, time, head_dim) each.

        `places` is what `Transformer.place` made of the positions.
        """
        raise NotImplementedError

    def merge(self, attended: Tensor) -> Tensor:
        """(rows, time, dim), heads side by side -> (rows, time, dim)."""
        raise NotImplementedError

    def forward(self, x: Tensor, places: Tensor, memory: Memory | None, layer: int) -> Tensor:
        queries, keys, values = self.project(x, places)
        if memory is None:
            attended = functional.scaled_dot_product_attention(
                queries, keys, values, is_causal=True
            )
        else:
            attended = memory.attend(layer, queries, keys, values)
        return self.merge(attended.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(rows, time, dim) -> (rows, heads, time, head_dim)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def weights(self, x: Tensor, places: Tensor, heads: list[int]) -> Tensor:
        """Where the chosen heads look: (rows, len(heads), time, time), each row sums to 1."""
        queries, keys, _ = self.project(x, places)
        queries, keys = queries[:, heads], keys[:, heads]
        scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        return torch.softmax(scores.masked_fill(future, float("-inf")), dim=-1)


class Block(nn.Module):
    """Attention and MLP, each on normalised input and added to what came in."""

    def __init__(
        self,
        attention_norm: nn.Module,
        attention: CausalAttention,
        mlp_norm: nn.Module,
        mlp: nn.Module,
    ) -> None:
        super().__init__()
        self.attention_norm = attention_norm
        self.attention = attention
        self.mlp_norm = mlp_norm
        self.mlp = mlp

    def forward(
        self,
        x: Tensor,
        places: Tensor,
        memory: Memory | None,
        layer: int,
        watch: Watcher | None = None,
    ) -> Tensor:
        normalised = self.attention_norm(x)
        if watch is not None:
            watch(layer, normalised)
        x = add(x, self.attention(normalised, places, memory, layer))
        return add(x, self.mlp(self.mlp_norm(x)))


class Transformer(nn.Module):
    """Blocks and a final norm: embeddings in, hidden states out."""

    def __init__(self, blocks: Iterable[Block], norm: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """x with what its absolute positions add, and what attention is to know of them."""
        return x, positions

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Memory | None = None,
        watch: Watcher | None = None,
    ) -> Tensor:
        """(rows, time, dim) at `positions` (rows, time) -> (rows, time, dim) after the final norm.

        Without memory every row sees itself alone, from its start. `watch` is called with each
        layer's index and the normalised input of its attention.
        """
        return self.run(*self.place(x, positions), memory, watch)

    def run(
        self,
        x: Tensor,
        places: Tensor,
        memory: Memory | None = None,
        watch: Watcher | None = None,
    ) -> Tensor:
        """As `forward`, of what `place` returns."""
        for layer, block in enumerate(self.blocks):
            x = block(x, places, memory, layer, watch)
        return self.norm(x)  # type: ignore[no-any-return]
