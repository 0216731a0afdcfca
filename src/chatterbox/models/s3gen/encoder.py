"""The flow's encoder: an up-sampling conformer from 25 tokens to 50 frames a second.

Conformer blocks without the convolution module (arXiv:2005.08100) and with Transformer-XL's
relative positions (arXiv:1901.02860); a look-ahead convolution of a few tokens stands before
them (CosyVoice 2, arXiv:2412.10117), and everything attends to everything.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.s3gen.config import EncoderConfig

_BLOCK_NORM_EPS = 1e-12


def _relative_positions(steps: int, width: int, like: Tensor) -> Tensor:
    """Sinusoids of the distances steps-1 ... -(steps-1): (1, 2 * steps - 1, width)."""
    rates = torch.exp(
        torch.arange(0, width, 2, device=like.device).float() * -(math.log(10000.0) / width)
    )
    distances = torch.arange(steps - 1, -steps, -1, device=like.device).float()
    angles = distances[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None].to(like.dtype)


def _by_distance_to_by_key(scores: Tensor) -> Tensor:
    """(..., T, 2T - 1) over distances T-1 ... -(T-1) -> (..., T, T) over keys.

    Row i wants columns T-1-i ... 2T-2-i: padding each row by one and reading the memory one
    row late shifts every row by one more than the row above.
    """
    *batch, T, distances = scores.shape
    padded = functional.pad(scores, (1, 0)).reshape(*batch, distances + 1, T)
    return padded[..., 1:, :].reshape(*batch, T, distances)[..., :T]


class _InputLayer(nn.Module):
    """Projects, normalises and scales up what attention is to read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = math.sqrt(width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.out(x) * self.scale
        return embedded


class _RelativeAttention(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.head_dim = width // config.heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, self.head_dim))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        B, T, D = x.shape

        def split(projected: Tensor) -> Tensor:
            return projected.view(projected.shape[0], -1, self.heads, self.head_dim)

        query = split(self.linear_q(x))
        distance = split(self.linear_pos(positions)).permute(0, 2, 3, 1)
        by_distance = (query + self.pos_bias_v).transpose(1, 2) @ distance
        bias = _by_distance_to_by_key(by_distance) / math.sqrt(self.head_dim)
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], -torch.inf)
        attended = functional.scaled_dot_product_attention(
            (query + self.pos_bias_u).transpose(1, 2),
            split(self.linear_k(x)).transpose(1, 2),
            split(self.linear_v(x)).transpose(1, 2),
            attn_mask=bias,
        )
        out: Tensor = self.linear_out(attended.transpose(1, 2).reshape(B, T, D))
        return out


class _FeedForward(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.w_1 = nn.Linear(config.width, config.feed_forward)
        self.w_2 = nn.Linear(config.feed_forward, config.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w_2(functional.silu(self.w_1(x)))
        return out


class _ConformerBlock(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.self_attn = _RelativeAttention(config)
        self.feed_forward = _FeedForward(config)
        self.norm_mha = nn.LayerNorm(config.width, eps=_BLOCK_NORM_EPS)
        self.norm_ff = nn.LayerNorm(config.width, eps=_BLOCK_NORM_EPS)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions, mask)
        grown: Tensor = x + self.feed_forward(self.norm_ff(x))
        return grown


class _Lookahead(nn.Module):
    """Lets every token see `lookahead` tokens to come: (B, T, width) -> (B, T, width)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.lookahead = config.lookahead
        self.conv1 = nn.Conv1d(config.width, config.width, config.lookahead + 1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.pad(x.transpose(1, 2), (0, self.lookahead))
        inner = functional.leaky_relu(self.conv1(inner))
        seen: Tensor = self.conv2(functional.pad(inner, (2, 0)))
        return x + seen.transpose(1, 2)


class _UpSampling(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(config.width, config.width, 5)

    def forward(self, x: Tensor) -> Tensor:
        doubled = x.repeat_interleave(2, dim=1).transpose(1, 2)
        smoothed: Tensor = self.conv(functional.pad(doubled, (4, 0)))
        return smoothed.transpose(1, 2)


class Encoder(nn.Module):
    """Token embeddings (B, T, width) -> frame features (B, 2T, width)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.width = config.width
        self.embed = _InputLayer(config.width)
        self.pre_lookahead_layer = _Lookahead(config)
        self.encoders = nn.ModuleList(_ConformerBlock(config) for _ in range(config.layers))
        self.up_layer = _UpSampling(config)
        self.up_embed = _InputLayer(config.width)
        self.up_encoders = nn.ModuleList(_ConformerBlock(config) for _ in range(config.up_layers))
        self.after_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (B, T) is False on padding, which then touches nothing before it."""
        embedded = self.embed(x)
        if mask is not None:
            embedded = embedded * mask[..., None]
        return self.attend(self.pre_lookahead_layer(embedded), mask)

    def attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """All that follows the look-ahead."""
        positions = _relative_positions(x.shape[1], self.width, x)
        for block in self.encoders:
            x = block(x, positions, mask)
        x = self.up_embed(self.up_layer(x))
        if mask is not None:
            mask = mask.repeat_interleave(2, dim=1)
        positions = _relative_positions(x.shape[1], self.width, x)
        for block in self.up_encoders:
            x = block(x, positions, mask)
        normed: Tensor = self.after_norm(x)
        return normed
