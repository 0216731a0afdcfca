"""Linear layers whose weights are laid out for inference.

A decode step multiplies a few rows by every weight of the network, so it takes as long as
reading the weights does. On a CPU each precision has a kernel that reads them at the speed of the
memory; what was tried and the figures are in docs/performance.md. On a GPU the ordinary kernels
do so already: there, nothing here is needed but the type of the weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.errors import ConfigError
from chatterbox.models.kernels import fp32, int8
from chatterbox.models.kernels.rows import KernelNorm, has_norm
from chatterbox.models.layers.quantized import Int8Linear
from chatterbox.models.precision import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_EXPECTED_ROWS = 8  # oneDNN arranges the weights for about so many; a hint of 1 costs 80 % at 8


class InputMajorLinear(nn.Module):
    """A linear layer whose weight is stored (in, out), as GPT-2 checkpoints have it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.t(), self.bias)

    def as_linear(self) -> nn.Linear:
        """The same weights as torch stores them."""
        return linear_of(self.weight.detach().t(), self.bias.detach())


class BlockedLinear(nn.Module):
    """Weights in oneDNN's own layout, float32 or bfloat16; float32 in and out. CPU only."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().to(dtype).contiguous(), _EXPECTED_ROWS
        )
        self._bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self._dtype), self._weight, self._bias, "none", [], ""
        )
        return out.float()


class HalfWeightLinear(nn.Module):
    """Weights rounded to 11 bits, float16; all arithmetic in float32. CPU only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.quantized.linear_prepack_fp16(
            linear.weight.detach().contiguous(), bias
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self._packed)  # type: ignore[no-any-return]


class RowNorm(nn.Module):
    """`nn.RMSNorm` in four operations instead of ten: for few rows, the calls are the cost."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        self._weight = norm.weight.detach()
        self._eps = torch.full((1, 1, 1), norm.eps or 0.0)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, 1, x.shape[-1])
        power = torch.baddbmm(self._eps, rows, rows.transpose(1, 2), alpha=1.0 / x.shape[-1])
        return (rows * power.rsqrt_()).view(x.shape) * self._weight


def check_kernels(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError, naming the precision, where the layers here cannot compute in it."""
    if device.type != "cpu":
        if precision == "int8":
            raise ConfigError(f"the precision int8 is for CPUs, not for {device.type}")
    elif precision == "bf16":
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise ConfigError("the precision bf16 needs a CPU with AVX-512")
    elif precision in ("fp16", "int8"):
        if "fbgemm" not in torch.backends.quantized.supported_engines:
            raise ConfigError(f"the precision {precision} needs an x86 CPU with AVX2")
        # Without VNNI the kernel adds products in 16 bits, where they overflow.
        if precision == "int8" and not torch.cpu._is_vnni_supported():
            raise ConfigError("the precision int8 needs a CPU with AVX-512 VNNI")


def packed(linear: nn.Linear, precision: Precision) -> nn.Module:
    """A layer on the CPU that computes the same, for inference only.

    What it keeps cannot be saved, moved or trained.
    """
    if precision in ("fp32", "fp16") and fp32.has_kernel(linear):
        return fp32.KernelLinear(linear, DTYPES[precision])
    if precision == "fp16":
        return HalfWeightLinear(linear)
    if precision == "int8":
        return integer(linear)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return linear
    return BlockedLinear(linear, DTYPES[precision])


def integer(layer: nn.Module) -> nn.Module:
    """An `nn.Linear` in 8-bit integers, by the quickest kernel there is; raises ConfigError."""
    assert isinstance(layer, nn.Linear)
    return int8.KernelInt8Linear(layer) if int8.has_kernel(layer) else Int8Linear(layer)


def floating(layer: nn.Module) -> nn.Module:
    """An `nn.Linear` in float32 for inference, by the quickest kernel there is."""
    assert isinstance(layer, nn.Linear)
    return fp32.KernelLinear(layer) if fp32.has_kernel(layer) else layer


def convolution(layer: nn.Module) -> nn.Module:
    """An `nn.Conv1d` for inference, by the quickest kernel there is."""
    assert isinstance(layer, nn.Conv1d)
    return fp32.KernelConvolution(layer) if fp32.has_kernel(layer) else layer


def quicken_norms(module: nn.Module) -> None:
    """Compute every norm below `module` by the quickest kernel there is; inference only."""
    for name, child in module.named_children():
        if has_norm(child):
            setattr(module, name, KernelNorm(child))
        else:
            quicken_norms(child)


def pack_layers(module: nn.Module, precision: Precision) -> None:
    """Replace every layer below `module` by its form for the CPU, freeing weights as it goes."""
    for name, child in module.named_children():
        linear = child.as_linear() if isinstance(child, InputMajorLinear) else child
        if isinstance(linear, nn.Linear):
            setattr(module, name, packed(linear, precision))
        elif has_norm(child):
            setattr(module, name, KernelNorm(child))
        elif isinstance(child, nn.RMSNorm):
            setattr(module, name, RowNorm(child))
        else:
            pack_layers(child, precision)


def linear_of(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A layer around a weight (out, in), which is not copied."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
