"""Norms and activations by our own kernels, see `rows.c`."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("rows.c")
_LANES = 16
_GELU, _GELU_TANH, _SILU_GATE = range(3)


class _Norm(ctypes.Structure):
    """`Norm` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("threads", ctypes.c_int32),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
    )


class _Activation(ctypes.Structure):
    """`Activation` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("kind", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def has_norm(norm: nn.Module) -> bool:
    """Whether `KernelNorm` can take the place of this layer."""
    if not isinstance(norm, nn.LayerNorm | nn.RMSNorm) or norm.weight is None:
        return False
    if isinstance(norm, nn.LayerNorm) and norm.bias is None:
        return False
    fits = len(norm.normalized_shape) == 1 and norm.normalized_shape[0] % _LANES == 0
    fits = fits and norm.weight.dtype == torch.float32 and norm.weight.device.type == "cpu"
    return fits and compiled(_SOURCE) is not None


class KernelNorm(nn.Module):
    """`nn.LayerNorm` or `nn.RMSNorm` over rows, for inference."""

    def __init__(self, norm: nn.Module) -> None:
        library = compiled(_SOURCE)
        assert library is not None, "see has_norm"
        assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
        super().__init__()
        self._kernel = library.chatterbox_norm
        self._weight = norm.weight.detach().contiguous()
        self._bias = norm.bias.detach().contiguous() if isinstance(norm, nn.LayerNorm) else None
        eps = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
        self._call = _Norm(
            weight=self._weight.data_ptr(),
            bias=None if self._bias is None else self._bias.data_ptr(),
            eps=eps,
            width=len(self._weight),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        assert x.dtype == torch.float32
        out = torch.empty_like(x)
        call = self._call
        call.x, call.out, call.count = x.data_ptr(), out.data_ptr(), x.numel() // call.width
        call.threads = torch.get_num_threads()
        self._kernel(ctypes.byref(call))
        return out


def gelu(x: Tensor) -> Tensor:
    """As `functional.gelu`."""
    return _activated(x, _GELU) if _fits(x, x.shape[-1]) else functional.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """As `functional.gelu` in its tanh form."""
    if _fits(x, x.shape[-1]):
        return _activated(x, _GELU_TANH)
    return functional.gelu(x, approximate="tanh")


def silu_gate(x: Tensor) -> Tensor:
    """The first half of the channels through silu, times the second: (..., 2n) -> (..., n)."""
    if _fits(x, x.shape[-1] // 2):
        return _activated(x, _SILU_GATE)
    gate, up = x.chunk(2, dim=-1)
    return functional.silu(gate) * up


def _fits(x: Tensor, width: int) -> bool:
    fits = x.dtype == torch.float32 and x.device.type == "cpu" and width % _LANES == 0
    fits = fits and x.is_contiguous() and not torch.is_grad_enabled()
    return fits and compiled(_SOURCE) is not None


def _activated(x: Tensor, kind: int) -> Tensor:
    library = compiled(_SOURCE)
    assert library is not None
    width = x.shape[-1]
    out = x.new_empty(*x.shape[:-1], width // 2 if kind == _SILU_GATE else width)
    call = _Activation(
        x=x.data_ptr(),
        out=out.data_ptr(),
        count=x.numel() // width,
        width=width,
        kind=kind,
        threads=torch.get_num_threads(),
    )
    library.chatterbox_activation(ctypes.byref(call))
    return out
