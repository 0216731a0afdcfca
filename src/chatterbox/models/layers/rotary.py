"""Rotary positions: angles in proportion to the place, applied to queries and keys.

J. Su et al., RoFormer, 2021. The two halves of a head are the real and imaginary parts (not
neighbouring channels). The slow frequencies may be stretched as in Llama 3.1.
"""

import math

import torch
from torch import Tensor, nn

from chatterbox.models.kernels import rows as kernel


def rotary_frequencies(head_dim: int, theta: float) -> Tensor:
    """Radians per position, fastest first: (head_dim / 2,) float32."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    return 1.0 / theta**exponents


def stretch_slow_frequencies(
    frequencies: Tensor, *, factor: float, low: float, high: float, positions: int
) -> Tensor:
    """Divide by `factor` what turns fewer than `low` times in `positions`; blend up to `high`."""
    turns = positions * frequencies / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return (1.0 - kept) * frequencies / factor + kept * frequencies


class RotaryTable(nn.Module):
    """Cosines and sines of every position, looked up by index."""

    table: Tensor  # (max_positions, head_dim): cosines, then sines

    def __init__(self, frequencies: Tensor, max_positions: int) -> None:
        super().__init__()
        # On the CPU even while the rest of the model is built on the meta device: no file holds it.
        places = torch.arange(max_positions, dtype=torch.float32, device="cpu")
        angles = torch.outer(places, frequencies)
        table = torch.cat([angles.cos(), angles.sin()], dim=-1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """(rows, time) -> (rows, 1, time, head_dim), to hand to `rotate`."""
        return self.table[positions].unsqueeze(1)

    def as_turns(self) -> "TurnTable":
        """The same angles, for heads whose channels are interleaved."""
        cosines, sines = self.table.chunk(2, dim=-1)
        return TurnTable(torch.complex(cosines.contiguous(), sines.contiguous()))


class TurnTable(nn.Module):
    """The turn of every position as complex numbers, looked up by index."""

    def __init__(self, table: Tensor) -> None:
        """(max_positions, head_dim / 2) complex64, and it stays so whatever the module becomes."""
        super().__init__()
        self._table = table

    def forward(self, positions: Tensor) -> Tensor:
        """(rows, time) -> (rows, time, 1, 1, head_dim / 2), to hand to `turn`."""
        return self._table[positions][:, :, None, None]


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn (rows, heads, time, head_dim) by the angles of its positions."""
    cosine, sine = rotation.to(x.dtype).chunk(2, dim=-1)
    real, imaginary = x.chunk(2, dim=-1)
    return torch.cat([real * cosine - imaginary * sine, imaginary * cosine + real * sine], dim=-1)


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Turn (rows, time, kinds, heads, head_dim), real and imaginary channels side by side.

    What `rotate` does in seven operations, for another order of the channels, see `interleaved`.
    """
    by_kernel = kernel.turn(x, turns)
    if by_kernel is not None:
        return by_kernel
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Weights (heads * head_dim, in) of a projection, its channels in the order `turn` wants.

    Queries and keys may be reordered alike: their products do not change.
    """
    halves = weight.reshape(heads, 2, -1, weight.shape[-1])
    return halves.transpose(1, 2).reshape(weight.shape)
