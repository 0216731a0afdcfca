"""Integer layers: near the float ones, and the same for a row whoever is beside it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from chatterbox.models.layers.quantized import Int8Linear, fused


def layer(inputs: int = 96, outputs: int = 130, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("bias", [True, False])
def test_it_is_within_two_percent_of_the_float_layer(*, bias: bool) -> None:
    exact = layer(bias=bias)
    x = torch.randn(3, 7, 96)
    error = (Int8Linear(exact)(x) - exact(x)).norm() / exact(x).norm()
    assert 0 < error < 0.02


@given(rows=st.integers(2, 40), seed=st.integers(0, 1000))
def test_a_row_is_the_same_bit_for_bit_in_any_company(rows: int, seed: int) -> None:
    integer = Int8Linear(layer())
    x = torch.randn(rows, 96, generator=torch.Generator().manual_seed(seed))
    x *= torch.logspace(-3, 3, rows)[:, None]  # a loud row must not drown a quiet one
    alone = torch.cat([integer(row[None]) for row in x])
    assert torch.equal(integer(x), alone)


def test_a_row_of_zeros_gives_the_bias() -> None:
    exact = layer()
    torch.testing.assert_close(Int8Linear(exact)(torch.zeros(2, 96)), exact.bias.expand(2, -1))


@pytest.mark.parametrize("bias", [True, False])
def test_fused_layers_give_their_outputs_side_by_side(*, bias: bool) -> None:
    one, two = layer(bias=bias), layer(outputs=7, bias=bias, seed=1)
    x = torch.randn(4, 96)
    torch.testing.assert_close(fused(one, two)(x), torch.cat([one(x), two(x)], dim=-1))
