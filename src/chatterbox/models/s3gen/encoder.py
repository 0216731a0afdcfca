"""The flow's encoder: an up-sampling conformer from 25 tokens to 50 frames a second.

Conformer blocks without the convolution module (arXiv:2005.08100) and with Transformer-XL's
relative positions (arXiv:1901.02860); a look-ahead convolution of a few tokens stands before
them (CosyVoice 2, arXiv:2412.10117), and everything attends to everything.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.window import Distances, has_kernel
from chatterbox.models.layers.linear import convolution, quicken_norms
from chatterbox.models.layers.quantized import MakeLinear, fused
from chatterbox.models.s3gen.config import EncoderConfig
from chatterbox.models.s3gen.memory import MemoryShape, Recall

_BLOCK_NORM_EPS = 1e-12
_UP_TAPS = 4  # frames before the first that the up-sampling reads
_LOOKAHEAD_TAPS = 2  # tokens before the first that the look-ahead layer reads


def _sinusoids(farthest: int, nearest: int, width: int, like: Tensor) -> Tensor:
    """Sinusoids of the distances farthest ... nearest: (farthest - nearest + 1, width)."""
    rates = torch.exp(
        torch.arange(0, width, 2, device=like.device).float() * -(math.log(10000.0) / width)
    )
    distances = torch.arange(farthest, nearest - 1, -1, device=like.device).float()
    angles = distances[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(like.dtype)


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
    _table: Tensor | None  # projected distances reach ... -reach, (heads, head_dim, 2 reach + 1)

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self._table = None
        self._fused: nn.Module | None = None
        width, self.heads = config.width, config.heads
        self.head_dim = width // config.heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out: nn.Module = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, self.head_dim))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of x, (B, T, width) each."""
        if self._fused is not None:
            return self._fused(x).chunk(3, dim=-1)  # type: ignore[no-any-return]
        return self.linear_q(x), self.linear_k(x), self.linear_v(x)

    def convert(self, make: MakeLinear) -> None:
        """Compute queries, keys and values in one layer; make every layer anew."""
        self._fused = make(fused(self.linear_q, self.linear_k, self.linear_v))
        self.linear_out = make(self.linear_out)
        del self.linear_q, self.linear_k, self.linear_v

    def remember_distances(self, reach: int) -> None:
        """Project the distances up to `reach` once; the weights must not change any more."""
        self._table = self._project_distances(reach, -reach)

    def _project_distances(self, farthest: int, nearest: int) -> Tensor:
        """(heads, head_dim, farthest - nearest + 1)."""
        weight = self.linear_pos.weight
        projected: Tensor = self.linear_pos(_sinusoids(farthest, nearest, weight.shape[1], weight))
        return projected.view(-1, self.heads, self.head_dim).permute(1, 2, 0).contiguous()

    def _distances(self, farthest: int, nearest: int) -> Tensor:
        reach = -1 if self._table is None else self._table.shape[-1] // 2
        if self._table is None or farthest > reach or -nearest > reach:
            return self._project_distances(farthest, nearest)
        return self._table[..., reach - farthest : reach - nearest + 1]

    def forward(self, x: Tensor, mask: Tensor | None, recall: Recall | None) -> Tensor:
        """(B, T, width) -> the same; `mask` (B, T) is False on padding, or None."""
        B, T, D = x.shape

        def split(projected: Tensor) -> Tensor:
            return projected.reshape(B, T, self.heads, self.head_dim).transpose(1, 2)

        query, key, value = (split(part) for part in self.project(x))
        if recall is not None and has_kernel(query) and (near := self._measured(recall)):
            attended = recall.attend_at_distances(query, key, value, near)
        else:
            attended = self._attend(query, key, value, mask, recall)
        out: Tensor = self.linear_out(attended.transpose(1, 2).reshape(B, T, D))
        return out

    def _measured(self, recall: Recall) -> Distances | None:
        """What our kernel wants to know, where the remembered distances reach that far."""
        farthest, nearest = recall.reach
        measured = Distances(
            content_bias=self.pos_bias_u,
            place_bias=self.pos_bias_v,
            table=self._distances(farthest, nearest),
            farthest=farthest,
        )
        return measured if measured.spare >= self.head_dim else None

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, recall: Recall | None
    ) -> Tensor:
        """(B, heads, T, head_dim) each -> the same."""
        T = query.shape[2]
        turned = query + self.pos_bias_v[:, None]
        if recall is None:
            bias = _by_distance_to_by_key(turned @ self._distances(T - 1, 1 - T))
        else:
            key, value = recall.extend(key, value)
            farthest, nearest = recall.reach
            by_distance = turned @ self._distances(farthest, nearest)
            places = (farthest - recall.distances())[:, None]
            bias = by_distance.gather(-1, places.expand(len(query), self.heads, -1, -1))
        bias = bias / math.sqrt(self.head_dim)
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None], -torch.inf)
        return functional.scaled_dot_product_attention(
            query + self.pos_bias_u[:, None], key, value, attn_mask=bias
        )


class _FeedForward(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.w_1: nn.Module = nn.Linear(config.width, config.feed_forward)
        self.w_2: nn.Module = nn.Linear(config.feed_forward, config.width)

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

    def forward(self, x: Tensor, mask: Tensor | None, recall: Recall | None) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), mask, recall)
        grown: Tensor = x + self.feed_forward(self.norm_ff(x))
        return grown


class _Lookahead(nn.Module):
    """Lets every token see `lookahead` tokens to come: (B, T, width) -> (B, T, width)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.lookahead = config.lookahead
        self.conv1: nn.Module = nn.Conv1d(config.width, config.width, config.lookahead + 1)
        self.conv2: nn.Module = nn.Conv1d(config.width, config.width, _LOOKAHEAD_TAPS + 1)

    def forward(self, x: Tensor, recall: Recall | None = None) -> Tensor:
        inner = functional.pad(x.transpose(1, 2), (0, self.lookahead))
        inner = functional.leaky_relu(self.conv1(inner))
        seen: Tensor = self.conv2(_preceded(inner, _LOOKAHEAD_TAPS, recall))
        return x + seen.transpose(1, 2)


class _UpSampling(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv1d(config.width, config.width, _UP_TAPS + 1)

    def forward(self, x: Tensor, recall: Recall | None) -> Tensor:
        doubled = x.repeat_interleave(2, dim=1).transpose(1, 2)
        smoothed: Tensor = self.conv(_preceded(doubled, _UP_TAPS, recall))
        return smoothed.transpose(1, 2)


def _preceded(x: Tensor, taps: int, recall: Recall | None) -> Tensor:
    """(B, C, T) with what came before it in front: remembered, or silence."""
    return functional.pad(x, (taps, 0)) if recall is None else recall.precede(x)


class Encoder(nn.Module):
    """Token embeddings (B, T, width) -> frame features (B, 2T, width)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = _InputLayer(config.width)
        self.pre_lookahead_layer = _Lookahead(config)
        self.encoders = nn.ModuleList(_ConformerBlock(config) for _ in range(config.layers))
        self.up_layer = _UpSampling(config)
        self.up_embed = _InputLayer(config.width)
        self.up_encoders = nn.ModuleList(_ConformerBlock(config) for _ in range(config.up_layers))
        self.after_norm = nn.LayerNorm(config.width)

    @property
    def memory_shapes(self) -> tuple[MemoryShape, MemoryShape]:
        """What is remembered before the up-sampling, in tokens, and after it, in frames."""
        config = self.config

        def shape(layers: int, taps: int) -> MemoryShape:
            return MemoryShape(
                layers=layers,
                heads=config.heads,
                head_dim=config.width // config.heads,
                channels=config.width,
                taps=taps,
            )

        return shape(config.layers, _LOOKAHEAD_TAPS), shape(config.up_layers, _UP_TAPS)

    def convert(self, make: MakeLinear) -> None:
        """Make the linear layers of every block anew; inference only."""
        for block in (*self.encoders, *self.up_encoders):
            assert isinstance(block, _ConformerBlock)
            block.self_attn.convert(make)
            block.feed_forward.w_1 = make(block.feed_forward.w_1)
            block.feed_forward.w_2 = make(block.feed_forward.w_2)

    def quicken(self) -> None:
        """Compute convolutions and norms by the quickest kernels there are; inference only."""
        quicken_norms(self)
        ahead, up = self.pre_lookahead_layer, self.up_layer
        ahead.conv1, ahead.conv2, up.conv = map(convolution, (ahead.conv1, ahead.conv2, up.conv))

    def remember_distances(self, reach: int) -> None:
        """Compute what depends on the distance alone once, up to `reach` tokens: inference only."""
        for factor, blocks in ((1, self.encoders), (2, self.up_encoders)):
            for block in blocks:
                assert isinstance(block, _ConformerBlock)
                block.self_attn.remember_distances(factor * reach)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, recall: tuple[Recall, Recall] | None = None
    ) -> Tensor:
        """`mask` (B, T) is False on padding, which then touches nothing before it.

        With `recall` (see `memory_shapes`) x follows what is remembered.
        """
        embedded = self.embed(x)
        if mask is not None:
            embedded = embedded * mask[..., None]
        low = None if recall is None else recall[0]
        return self.attend(self.pre_lookahead_layer(embedded, low), mask, recall)

    def attend(
        self, x: Tensor, mask: Tensor | None = None, recall: tuple[Recall, Recall] | None = None
    ) -> Tensor:
        """All that follows the look-ahead."""
        low, high = recall or (None, None)
        keys = mask if low is None else low.key_mask
        for block in self.encoders:
            x = block(x, keys, low)
        x = self.up_embed(self.up_layer(x, high))
        if high is not None:
            keys = high.key_mask
        elif mask is not None:
            keys = mask.repeat_interleave(2, dim=1)
        for block in self.up_encoders:
            x = block(x, keys, high)
        normed: Tensor = self.after_norm(x)
        return normed
