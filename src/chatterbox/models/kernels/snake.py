"""The vocoder's activation by our own kernel, see `snake.c`."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("snake.c")
_LANES = 16


class _Snake(ctypes.Structure):
    """`Snake` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("alpha", ctypes.c_void_p),
        ("inverse", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("is_bfloat16", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def has_kernel(x: Tensor) -> bool:
    """Whether `snake` can be used for x (B, C, T)."""
    fits = x.dtype in (torch.float32, torch.bfloat16) and x.shape[1] % _LANES == 0
    fits = fits and x.device.type == "cpu" and x.transpose(1, 2).is_contiguous()
    return fits and compiled(_SOURCE) is not None


def snake(x: Tensor, alpha: Tensor, inverse: Tensor) -> Tensor:
    """x + sin^2(alpha x) * inverse: (B, C, T) with its channels innermost -> the same.

    `alpha` and `inverse` (C,) are float32. For inference.
    """
    library = compiled(_SOURCE)
    assert library is not None, "see has_kernel"
    assert alpha.dtype == inverse.dtype == torch.float32
    out = torch.empty_like(x)
    assert out.stride() == x.stride()
    channels = x.shape[1]
    call = _Snake(
        x=x.data_ptr(),
        out=out.data_ptr(),
        alpha=alpha.data_ptr(),
        inverse=inverse.data_ptr(),
        count=x.numel() // channels,
        channels=channels,
        is_bfloat16=x.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
    )
    library.chatterbox_snake(ctypes.byref(call))
    return out
