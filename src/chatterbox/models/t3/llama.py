"""The Llama backbone: rotary attention and gated MLP, no biases."""

from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.layers.rotary import (
    RotaryTable,
    rotary_frequencies,
    rotate,
    stretch_slow_frequencies,
)
from chatterbox.models.layers.transformer import Block, CausalAttention, Transformer
from chatterbox.models.t3.config import T3Config


class RotaryAttention(CausalAttention):
    """Self-attention whose queries and keys are turned by their positions."""

    def __init__(self, dim: int, heads: int, rotary: RotaryTable) -> None:
        super().__init__(heads)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.rotary = rotary  # one table, shared by all layers

    def project(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rotation = self.rotary(positions)
        queries = rotate(self.split(self.query(x)), rotation)
        keys = rotate(self.split(self.key(x)), rotation)
        return queries, keys, self.split(self.value(x))

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
        rotary = RotaryTable(frequencies, config.max_positions)
        super().__init__(
            blocks=[
                Block(
                    nn.RMSNorm(config.dim, eps=config.norm_eps),
                    RotaryAttention(config.dim, config.heads, rotary),
                    nn.RMSNorm(config.dim, eps=config.norm_eps),
                    GatedMlp(config.dim, config.mlp_dim),
                )
                for _ in range(config.layers)
            ],
            norm=nn.RMSNorm(config.dim, eps=config.norm_eps),
        )
        if config.unused_embeddings:
            # Part of the official files; kept so that they load whole and save again unchanged.
            self.unused_embedding = nn.Embedding(config.unused_embeddings, config.dim)
