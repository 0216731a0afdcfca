"""The velocity network of the flow: a flat U-Net of causal convolutions and transformers.

After Matcha-TTS's decoder (arXiv:2309.03199) as CosyVoice 2 made it causal: one level, no
down-sampling. Only the convolutions are causal; attention sees the whole sequence.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.rows import gelu
from chatterbox.models.layers.linear import convolution, quicken_norms
from chatterbox.models.layers.quantized import MakeLinear, fused
from chatterbox.models.s3gen.config import EstimatorConfig
from chatterbox.models.s3gen.memory import MemoryShape, Recall

_TAPS = 2  # frames before the first that a convolution reads
_TIME_SCALE = 1000.0  # t in [0, 1] is read as diffusion steps were
_INPUTS = 4  # noisy mel, guess at the mel, speaker, known mel


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


class _CausalConv(nn.Conv1d):
    """Three taps, none of them ahead: (B, C, T) -> (B, C', T)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, _TAPS + 1)
        self._quick: nn.Module | None = None

    def quicken(self) -> None:
        """Compute by the quickest kernel there is; inference only."""
        self._quick = convolution(self)
        if self._quick is self:
            self._quick = None
        else:
            self.register_parameter("weight", None)

    def forward(self, x: Tensor, recall: Recall | None) -> Tensor:  # type: ignore[override]
        before = functional.pad(x, (_TAPS, 0)) if recall is None else recall.precede(x)
        return super().forward(before) if self._quick is None else self._quick(before)


class _CausalBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        # The reference numbers its layers so: a transposition stands on either side of the norm.
        self.block = nn.ModuleDict(
            {"0": _CausalConv(channels, out_channels), "2": nn.LayerNorm(out_channels)}
        )

    def forward(self, x: Tensor, mask: Tensor | None, recall: Recall | None) -> Tensor:
        convolved = self.block["0"](_masked(x, mask), recall)
        normed = self.block["2"](convolved.transpose(1, 2)).transpose(1, 2)
        return _masked(functional.mish(normed), mask)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, out_channels))
        self.block1 = _CausalBlock(channels, out_channels)
        self.block2 = _CausalBlock(out_channels, out_channels)
        self.res_conv: nn.Module = nn.Conv1d(channels, out_channels, 1)

    def forward(
        self, x: Tensor, mask: Tensor | None, offset: Tensor, recall: Recall | None
    ) -> Tensor:
        """`offset` (B or 1, out_channels, 1) is what `mlp` makes of the time."""
        inner = self.block1(x, mask, recall) + offset
        summed: Tensor = self.block2(inner, mask, recall) + self.res_conv(_masked(x, mask))
        return summed


class _Attention(nn.Module):
    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.to_q = nn.Linear(config.channels, inner, bias=False)
        self.to_k = nn.Linear(config.channels, inner, bias=False)
        self.to_v = nn.Linear(config.channels, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, config.channels)])
        self._fused: nn.Module | None = None

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of x, (B, T, inner) each."""
        if self._fused is not None:
            return self._fused(x).chunk(3, dim=-1)  # type: ignore[no-any-return]
        return self.to_q(x), self.to_k(x), self.to_v(x)

    def convert(self, make: MakeLinear) -> None:
        """Compute queries, keys and values in one layer; make every layer anew."""
        self._fused = make(fused(self.to_q, self.to_k, self.to_v))
        self.to_out[0] = make(self.to_out[0])
        del self.to_q, self.to_k, self.to_v

    def forward(self, x: Tensor, keys: Tensor | None, recall: Recall | None) -> Tensor:
        B, T, _ = x.shape
        query, key, value = (
            part.reshape(B, T, self.heads, -1).transpose(1, 2) for part in self.project(x)
        )
        if recall is not None:
            attended = recall.attend(query, key, value)
        else:
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        out: Tensor = self.to_out[0](attended.transpose(1, 2).reshape(B, T, -1))
        return out


class _GeluProjection(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(self.proj(x))


class _FeedForward(nn.Module):
    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            _GeluProjection(channels, ratio * channels),
            nn.Identity(),  # where the reference drops out; keeps the next one's number
            nn.Linear(ratio * channels, channels),
        )

    def convert(self, make: MakeLinear) -> None:
        """Make both layers anew."""
        first = self.net[0]
        assert isinstance(first, _GeluProjection)
        first.proj = make(first.proj)
        self.net[2] = make(self.net[2])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class _TransformerBlock(nn.Module):
    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.channels)
        self.attn1 = _Attention(config)
        self.norm3 = nn.LayerNorm(config.channels)
        self.ff = _FeedForward(config.channels, config.feed_forward_ratio)

    def forward(self, x: Tensor, keys: Tensor | None, recall: Recall | None) -> Tensor:
        x = x + self.attn1(self.norm1(x), keys, recall)
        grown: Tensor = x + self.ff(self.norm3(x))
        return grown


class _TimeMlp(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.linear_1 = nn.Linear(inputs, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """t (B,) in [0, 1] -> (B, width)."""
        half = self.inputs // 2
        rates = torch.arange(half, device=t.device, dtype=torch.float32)
        rates = torch.exp(rates * -(math.log(10000.0) / (half - 1)))
        angles = _TIME_SCALE * t[:, None] * rates
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1).to(self.linear_1.weight.dtype)
        embedded: Tensor = self.linear_2(functional.silu(self.linear_1(waves)))
        return embedded


class Estimator(nn.Module):
    """What to add to x at time t, given what is known of the mel."""

    def __init__(self, config: EstimatorConfig, mel_bins: int, *, end_time: bool) -> None:
        """`end_time`: steps have two ends, t and r (mean flow, arXiv:2505.13447)."""
        super().__init__()
        self.config = config
        self.inputs = inputs = _INPUTS * mel_bins
        width = config.channels
        time_width = config.time_ratio * width

        def stage(channels: int) -> list[nn.Module]:
            transformers = (_TransformerBlock(config) for _ in range(config.transformers))
            return [_ResidualBlock(channels, width, time_width), nn.ModuleList(transformers)]

        self.time_mlp = _TimeMlp(inputs, time_width)
        self.time_embed_mixer = (
            nn.Linear(2 * time_width, time_width, bias=False) if end_time else None
        )
        # One level each way, without change of rate; lists keep the reference's keys.
        self.down_blocks = nn.ModuleList(
            [nn.ModuleList([*stage(inputs), _CausalConv(width, width)])]
        )
        self.mid_blocks = nn.ModuleList(
            nn.ModuleList(stage(width)) for _ in range(config.mid_blocks)
        )
        self.up_blocks = nn.ModuleList(
            [nn.ModuleList([*stage(2 * width), _CausalConv(width, width)])]
        )
        self.final_block = _CausalBlock(width, width)
        self.final_proj = nn.Conv1d(width, mel_bins, 1)
        if config.zero_output:
            nn.init.zeros_(self.final_proj.weight)
            assert self.final_proj.bias is not None
            nn.init.zeros_(self.final_proj.bias)

    @property
    def memory_shape(self) -> MemoryShape:
        """What is remembered of the frames before; one row."""
        config = self.config
        stages = config.mid_blocks + 2
        # Two convolutions a stage, three more; the last stage's first one reads the skip, too.
        wide = self.inputs + 2 * config.channels
        return MemoryShape(
            layers=stages * config.transformers,
            heads=config.heads,
            head_dim=config.head_dim,
            channels=wide + (2 * stages - 2 + 3) * config.channels,
            taps=_TAPS,
        )

    def convert(self, make: MakeLinear) -> None:
        """Make the linear layers of every transformer block anew; inference only."""
        for _, blocks, *_ in self.stages:
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                assert isinstance(block, _TransformerBlock)
                block.attn1.convert(make)
                block.ff.convert(make)

    def quicken(self) -> None:
        """Compute convolutions and norms by the quickest kernels there are; inference only."""
        quicken_norms(self)
        for module in list(self.modules()):
            if isinstance(module, _CausalConv):
                module.quicken()
            elif isinstance(module, _ResidualBlock):
                module.res_conv = convolution(module.res_conv)

    @property
    def stages(self) -> list[nn.ModuleList]:
        """Each a residual block and its transformers, in the order in which they run."""
        stages = [self.down_blocks[0], *self.mid_blocks, self.up_blocks[0]]
        return [stage for stage in stages if isinstance(stage, nn.ModuleList)]

    def offsets(self, t: Tensor, r: Tensor | None = None) -> list[Tensor]:
        """What the ends of a step, (B,) in [0, 1], add in each stage: (B, width, 1)."""
        time: Tensor = self.time_mlp(t)
        if self.time_embed_mixer is not None:
            assert r is not None, "a mean-flow estimator needs the end of its step"
            time = self.time_embed_mixer(torch.cat([time, self.time_mlp(r)], dim=-1))
        offsets = []
        for residual, *_ in self.stages:
            assert isinstance(residual, _ResidualBlock)
            offsets.append(residual.mlp(time)[..., None])
        return offsets

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        t: Tensor,
        r: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """x (B, bins, T) -> (B, bins, T), 0 on padding.

        `context` (B, 3 * bins, T) stacks the guess at the mel, the speaker at every frame and
        the known mel; t and r (B,) lie in [0, 1]; `mask` (B, 1, T) is 0 on padding.
        """
        return self.velocity(x, context, self.offsets(t, r), mask)

    def velocity(
        self,
        x: Tensor,
        context: Tensor,
        offsets: Sequence[Tensor],
        mask: Tensor | None = None,
        recall: Recall | None = None,
    ) -> Tensor:
        """As `forward`, with `offsets` of the step (B or 1, width, 1), one a stage.

        With `recall` (see `memory_shape`) the frames of x follow what is remembered.
        """
        keys = None
        if recall is None and mask is not None:
            keys = mask[:, None].bool()
        dtype = self.final_proj.weight.dtype
        mask = None if mask is None else mask.to(dtype)
        down, *mid, up = self.stages
        first, *between, last = offsets

        def run(stage: nn.ModuleList, hidden: Tensor, offset: Tensor) -> Tensor:
            hidden = stage[0](hidden, mask, offset, recall).transpose(1, 2)
            transformers = stage[1]
            assert isinstance(transformers, nn.ModuleList)
            for block in transformers:
                hidden = block(hidden, keys, recall)
            return hidden.transpose(1, 2)

        skip = run(down, torch.cat([x, context], dim=1).to(dtype), first)
        hidden = down[2](_masked(skip, mask), recall)
        for stage, offset in zip(mid, between, strict=True):
            hidden = run(stage, hidden, offset)
        hidden = run(up, torch.cat([hidden, skip], dim=1), last)
        hidden = up[2](_masked(hidden, mask), recall)
        hidden = self.final_block(hidden, mask, recall)
        return _masked(self.final_proj(hidden), mask).to(x.dtype)
