"""The GPT-2 backbone: LayerNorm, biases, and a learned vector per place in the sequence."""

from torch import Tensor, nn

from chatterbox.models.kernels.rows import gelu_tanh
from chatterbox.models.layers.linear import InputMajorLinear
from chatterbox.models.layers.transformer import Block, CausalAttention, Transformer
from chatterbox.models.t3.config import T3Config


class FusedAttention(CausalAttention):
    """Self-attention with queries, keys and values from one projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(heads)
        self.query_key_value = InputMajorLinear(dim, 3 * dim)
        self.output = InputMajorLinear(dim, dim)

    def project(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.query_key_value(x).view(*x.shape[:2], 3, self.heads, -1)
        queries, keys, values = projected.transpose(1, 3).unbind(2)
        return queries, keys, values

    def merge(self, attended: Tensor) -> Tensor:
        return self.output(attended)  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two layers with the tanh form of GELU between."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.up = InputMajorLinear(dim, hidden_dim)
        self.down = InputMajorLinear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(gelu_tanh(self.up(x)))  # type: ignore[no-any-return]


class Gpt2Backbone(Transformer):
    """Pre-norm blocks with LayerNorm."""

    def __init__(self, config: T3Config) -> None:
        super().__init__(
            blocks=[
                Block(
                    nn.LayerNorm(config.dim, eps=config.norm_eps),
                    FusedAttention(config.dim, config.heads),
                    nn.LayerNorm(config.dim, eps=config.norm_eps),
                    Mlp(config.dim, config.mlp_dim),
                )
                for _ in range(config.layers)
            ],
            norm=nn.LayerNorm(config.dim, eps=config.norm_eps),
        )
        self.position_embedding = nn.Embedding(config.max_positions, config.dim)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.position_embedding(positions), positions
