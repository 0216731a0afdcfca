"""Linear layers whose weights were laid out for inference, in one of four precisions.

A decode step multiplies a few rows by every weight of the network, so it takes as long as
reading the weights does. On a CPU each precision has a kernel that reads them at the speed of the
memory; what was tried and the figures are in docs/performance.md. On a GPU the ordinary kernels
do so already, and only the type of the weights changes.
"""

import warnings
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16", "int8"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_EXPECTED_ROWS = 8  # oneDNN arranges the weights for about so many; a hint of 1 costs 80 % at 8
_LEVELS = 127  # of an 8-bit number on either side of zero
_TINIEST = 1e-30  # a row of zeros is divided by this


class InputMajorLinear(nn.Module):
    """A linear layer whose weight is stored (in, out), as GPT-2 checkpoints have it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.t(), self.bias)


class BlockedLinear(nn.Module):
    """Weights in oneDNN's own layout, float32 or bfloat16; float32 in and out. CPU only."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(
            weight.to(dtype).contiguous(), _EXPECTED_ROWS
        )
        self._bias = None if bias is None else bias.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self._dtype), self._weight, self._bias, "none", [], ""
        )
        return out.float()


class HalfWeightLinear(nn.Module):
    """Weights rounded to 11 bits, float16; all arithmetic in float32. CPU only."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self._packed)  # type: ignore[no-any-return]


class Int8Linear(nn.Module):
    """8-bit weights, scaled by output, times 8-bit inputs, scaled by row as they come. CPU only.

    The sums are integers and each row is scaled by itself, so a row's result is the same to the
    last bit in any batch.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scales = weight.abs().amax(1).clamp(min=_TINIEST) / _LEVELS
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch calls its 8-bit tensors deprecated; the kernel takes its weights in no other.
            warnings.simplefilter("ignore", UserWarning)
            quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantized, None)
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        scales = x.abs().amax(-1, keepdim=True).clamp_(min=_TINIEST)
        out: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / scales, 1.0 / _LEVELS, _LEVELS + 1, self._packed
        )
        return out.mul_(scales) if self._bias is None else torch.addcmul(self._bias, out, scales)


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError, naming the precision, where this machine cannot compute in it."""
    if device.type != "cpu":
        if precision == "int8":
            raise ConfigError(f"precision 'int8' is for CPUs, not for {device.type!r}")
        return
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise ConfigError("precision 'bf16' needs a CPU with AVX-512")
    if precision in ("fp16", "int8") and "fbgemm" not in torch.backends.quantized.supported_engines:
        raise ConfigError(f"precision {precision!r} needs an x86 CPU with AVX2")
    # Without VNNI the kernel adds products in 16 bits, where they overflow.
    if precision == "int8" and not torch.cpu._is_vnni_supported():
        raise ConfigError("precision 'int8' needs a CPU with AVX-512 VNNI")


def packed_linear(weight: Tensor, bias: Tensor | None, precision: Precision) -> nn.Module:
    """A layer that computes what `nn.Linear` does with these weights (out, in), for inference.

    It has no parameters: what it keeps cannot be saved, moved or trained.
    """
    weight, bias = weight.detach(), None if bias is None else bias.detach()
    if weight.device.type != "cpu":
        return _linear(weight, bias, _DTYPES[precision])
    if precision == "fp16":
        return HalfWeightLinear(weight, bias)
    if precision == "int8":
        return Int8Linear(weight, bias)
    if not torch.backends.mkldnn.is_available():
        return _linear(weight, bias, torch.float32)
    return BlockedLinear(weight, bias, _DTYPES[precision])


def pack_linears(module: nn.Module, precision: Precision) -> None:
    """Replace every linear layer below `module`, one at a time, freeing its weights."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, packed_linear(child.weight, child.bias, precision))
        elif isinstance(child, InputMajorLinear):
            setattr(module, name, packed_linear(child.weight.t(), child.bias, precision))
        else:
            pack_linears(child, precision)


def _linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.to(dtype).contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return layer
