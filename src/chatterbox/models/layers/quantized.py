"""Linear layers in 8-bit integers, for CPUs whose vector unit multiplies those faster.

Weights are rounded once, one scale per output channel; activations at every call, one scale per
row. A row's result is exact integer arithmetic times two scales, so it does not depend on the
rows beside it: a stream sounds the same, bit for bit, alone and in a batch.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from chatterbox.errors import ConfigError

MakeLinear = Callable[[nn.Module], nn.Module]  # another layer in the place of an `nn.Linear`

_LARGEST = 127
_ZERO_POINT = 128  # of the unsigned activations
_SMALLEST_SCALE = 1e-12  # a row of zeros stays one


class Int8Linear(nn.Module):
    """`nn.Linear` with 8-bit weights and activations: about 1 % from it, up to six times faster."""

    bias: Tensor

    def __init__(self, linear: nn.Module) -> None:
        """Raises ConfigError where this build of torch has no such kernel."""
        assert isinstance(linear, nn.Linear)
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scales = row_scales(weight)
        choose_integer_kernels()
        with warnings.catch_warnings():
            # torch means to drop its quantized tensors. oneDNN's qlinear ops, which take plain
            # ones, will do instead, but are a third slower for few rows (docs/experiments.md).
            warnings.simplefilter("ignore", UserWarning)
            zeros = torch.zeros(self.out_features, dtype=torch.int64)
            rounded = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, None)
        bias = torch.zeros(self.out_features) if linear.bias is None else linear.bias.detach()
        self.register_buffer("bias", bias.float())

    def forward(self, x: Tensor) -> Tensor:
        scale = x.abs().amax(dim=-1, keepdim=True).clamp_(min=_SMALLEST_SCALE)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / scale, 1 / _LARGEST, _ZERO_POINT, self._packed
        )
        return torch.addcmul(self.bias, product, scale)


def row_scales(weight: Tensor) -> Tensor:
    """(out, in) -> (out,): what one step of the 8-bit numbers of each row is worth."""
    return weight.abs().amax(dim=1).clamp(min=_SMALLEST_SCALE) / _LARGEST


def choose_integer_kernels() -> None:
    """Let torch use the kernels of x86; raises ConfigError where there are none."""
    if "x86" not in torch.backends.quantized.supported_engines:
        raise ConfigError("the precision int8 needs an x86 processor on this version of torch")
    torch.backends.quantized.engine = "x86"


def fused(*layers: nn.Linear) -> nn.Linear:
    """One layer whose output is that of `layers` side by side; all have a bias or none has."""
    first = layers[0]
    together = nn.Linear(
        first.in_features,
        sum(layer.out_features for layer in layers),
        bias=first.bias is not None,
        device=first.weight.device,
        dtype=first.weight.dtype,
    ).requires_grad_(requires_grad=False)
    together.weight.copy_(torch.cat([layer.weight.detach() for layer in layers]))
    if first.bias is not None:
        together.bias.copy_(torch.cat([layer.bias.detach() for layer in layers]))
    return together
