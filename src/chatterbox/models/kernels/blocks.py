"""Weights in blocks of outputs, in the order in which a kernel reads them."""

import torch
from torch import Tensor


def padded(per_output: Tensor, block: int) -> Tensor:
    """(out, ...) with zeros behind, up to a multiple of `block`; a copy.

    What a kernel computes of them it does not store.
    """
    more = -len(per_output) % block
    return torch.cat([per_output, per_output.new_zeros(more, *per_output.shape[1:])])
