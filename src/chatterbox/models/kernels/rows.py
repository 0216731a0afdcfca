"""Norms, activations, sums and turns by our own kernels, see `rows.c`."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.kernels.program import Kernel, launch, missed, side_by_side

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


class _Sum(ctypes.Structure):
    """`Sum` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("threads", ctypes.c_int32),
    )


class _Turn(ctypes.Structure):
    """`Turn` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("turns", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("channels", ctypes.c_int64),
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


class KernelNorm(Kernel):
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
        x = side_by_side(x)
        assert x.dtype == torch.float32
        out = torch.empty_like(x)
        call = self._call
        call.x, call.out, call.count = x.data_ptr(), out.data_ptr(), x.numel() // call.width
        call.threads = torch.get_num_threads()
        launch(self._kernel, call, x, out)
        return out


def gelu(x: Tensor) -> Tensor:
    """As `functional.gelu`."""
    if _fits(x, x.shape[-1]):
        return _activated(x, _GELU)
    missed()
    return functional.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """As `functional.gelu` in its tanh form."""
    if _fits(x, x.shape[-1]):
        return _activated(x, _GELU_TANH)
    missed()
    return functional.gelu(x, approximate="tanh")


def silu_gate(x: Tensor) -> Tensor:
    """The first half of the channels through silu, times the second: (..., 2n) -> (..., n)."""
    if _fits(x, x.shape[-1] // 2):
        return _activated(x, _SILU_GATE)
    missed()
    gate, up = x.chunk(2, dim=-1)
    return functional.silu(gate) * up


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, of one shape."""
    width = x.shape[-1]
    if not (x.shape == y.shape and _fits(x, width) and _fits(y, width)):
        missed()
        return x + y
    library = compiled(_SOURCE)
    assert library is not None
    out = torch.empty_like(x)
    call = _Sum(
        x=x.data_ptr(),
        y=y.data_ptr(),
        out=out.data_ptr(),
        count=x.numel() // width,
        width=width,
        threads=torch.get_num_threads(),
    )
    launch(library.chatterbox_add, call, x, y, out)
    return out


def turn(x: Tensor, turns: Tensor) -> Tensor | None:
    """Complex numbers times others: (rows, time, kinds, heads, n), neighbours in the last are one.

    `turns` is (rows, time, 1, 1, n / 2) complex64. None where there is no kernel for that.
    """
    rows, time, kinds, heads, channels = x.shape
    stride = x.stride(1) if rows == 1 else x.stride(0) // time
    together = (stride * time, stride, heads * channels, channels, 1)
    fits = x.dtype == torch.float32 and x.device.type == "cpu" and channels % _LANES == 0
    fits = fits and turns.dtype == torch.complex64 and turns.is_contiguous()
    fits = fits and all(
        own == wanted for own, wanted, n in zip(x.stride(), together, x.shape, strict=True) if n > 1
    )
    if not fits or torch.is_grad_enabled() or compiled(_SOURCE) is None:
        missed()
        return None
    library = compiled(_SOURCE)
    assert library is not None
    out = torch.empty(x.shape)
    call = _Turn(
        x=x.data_ptr(),
        turns=turns.data_ptr(),
        out=out.data_ptr(),
        count=rows * time,
        width=kinds * heads * channels,
        stride=stride,
        channels=channels,
        threads=torch.get_num_threads(),
    )
    launch(library.chatterbox_turn, call, x, turns, out)
    return out


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
    launch(library.chatterbox_activation, call, x, out)
    return out
