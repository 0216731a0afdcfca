"""The Llama backbone: rotary attention and gated MLP, no biases."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.rows import silu_gate
from chatterbox.models.layers.linear import linear_of
from chatterbox.models.layers.rotary import (
    RotaryTable,
    TurnTable,
    interleaved,
    rotary_frequencies,
    rotate,
    stretch_slow_frequencies,
    turn,
)
from chatterbox.models.layers.transformer import Block, CausalAttention, Transformer
from chatterbox.models.t3.config import T3Config


class RotaryAttention(CausalAttention):
    """Self-attention whose queries and keys are turned by their positions."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(heads)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def project(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries = rotate(self.split(self.query(x)), places)
        keys = rotate(self.split(self.key(x)), places)
        return queries, keys, self.split(self.value(x))

    def merge(self, attended: Tensor) -> Tensor:
        return self.output(attended)  # type: ignore[no-any-return]


class FusedRotaryAttention(CausalAttention):
    """The same for inference: one projection, and channels in the order of `turn`."""

    def __init__(self, attention: RotaryAttention) -> None:
        super().__init__(attention.heads)
        self.query_key_value = _stacked(
            interleaved(attention.query.weight, attention.heads),
            interleaved(attention.key.weight, attention.heads),
            attention.value.weight,
        )
        self.output = attention.output

    def project(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.query_key_value(x).view(*x.shape[:2], 3, self.heads, -1)
        queries, keys = turn(projected[:, :, :2], places).transpose(1, 3).unbind(2)
        return queries, keys, projected[:, :, 2].transpose(1, 2)

    def merge(self, attended: Tensor) -> Tensor:
        return self.output(attended)  # type: ignore[no-any-return]


class GatedMlp(nn.Module):
    """SwiGLU (N. Shazeer, 2020)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, hidden_dim, bias=False)
        self.up = nn.Linear(dim, hidden_dim, bias=False)
        self.down = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class FusedGatedMlp(nn.Module):
    """The same for inference: gate and up from one projection."""

    def __init__(self, mlp: GatedMlp) -> None:
        super().__init__()
        self.gate_up = _stacked(mlp.gate.weight, mlp.up.weight)
        self.down = mlp.down

    def forward(self, x: Tensor) -> Tensor:
        return self.down(silu_gate(self.gate_up(x)))  # type: ignore[no-any-return]


def _stacked(*weights: Tensor) -> nn.Linear:
    """One layer without bias in place of several that read the same input."""
    return linear_of(torch.cat([weight.detach() for weight in weights]))


class LlamaBackbone(Transformer):
    """Pre-norm blocks with RMSNorm."""

    def __init__(self, config: T3Config) -> None:
        frequencies = rotary_frequencies(config.head_dim, config.rotary_theta)
        if config.rotary_scaling is not None:
            frequencies = stretch_slow_frequencies(
                frequencies,
                factor=config.rotary_scaling.factor,
                low=config.rotary_scaling.low_frequency_factor,
                high=config.rotary_scaling.high_frequency_factor,
                positions=config.rotary_scaling.original_positions,
            )
        super().__init__(
            blocks=[
                Block(
                    nn.RMSNorm(config.dim, eps=config.norm_eps),
                    RotaryAttention(config.dim, config.heads),
                    nn.RMSNorm(config.dim, eps=config.norm_eps),
                    GatedMlp(config.dim, config.mlp_dim),
                )
                for _ in range(config.layers)
            ],
            norm=nn.RMSNorm(config.dim, eps=config.norm_eps),
        )
        self.rotary: RotaryTable | TurnTable = RotaryTable(frequencies, config.max_positions)
        # Part of the official files; kept so that they load whole and save again unchanged.
        self.unused_embedding = (
            nn.Embedding(config.unused_embeddings, config.dim) if config.unused_embeddings else None
        )

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.rotary(positions)

    def fuse(self) -> None:
        """Take the form for inference: fewer, larger products. What it computes stays."""
        assert isinstance(self.rotary, RotaryTable), "fused already"
        self.rotary = self.rotary.as_turns()
        del self.unused_embedding
        for block in self.blocks:
            assert isinstance(block.attention, RotaryAttention)
            assert isinstance(block.mlp, GatedMlp)
            block.attention = FusedRotaryAttention(block.attention)
            block.mlp = FusedGatedMlp(block.mlp)
