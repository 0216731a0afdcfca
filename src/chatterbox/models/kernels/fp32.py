"""Linear layers in float32 by our own kernel, see `fp32.c`."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor, nn

from chatterbox.models.kernels.blocks import padded
from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("fp32.c")
_BLOCK = 48


class _Linear(ctypes.Structure):
    """`Linear` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("in_features", ctypes.c_int64),
        ("out_features", ctypes.c_int64),
        ("threads", ctypes.c_int32),
    )


def has_kernel(linear: nn.Linear) -> bool:
    """Whether `KernelLinear` can take the place of this layer."""
    return linear.weight.device.type == "cpu" and compiled(_SOURCE) is not None


class KernelLinear(nn.Module):
    """`nn.Linear` for inference, at the speed of the memory for few rows.

    A row's result does not depend on the rows beside it, to the last bit. Used on one thread.
    """

    def __init__(self, linear: nn.Linear) -> None:
        library = compiled(_SOURCE)
        assert library is not None, "see has_kernel"
        super().__init__()
        self._kernel = library.chatterbox_fp32_linear
        weight = linear.weight.detach().float()
        outputs, inputs = weight.shape
        bias = torch.zeros(outputs) if linear.bias is None else linear.bias.detach()
        self._weights = padded(weight, _BLOCK).view(-1, _BLOCK, inputs).transpose(1, 2).contiguous()
        self._bias = padded(bias.float(), _BLOCK)
        self._call = _Linear(
            weights=self._weights.data_ptr(),
            bias=self._bias.data_ptr(),
            in_features=inputs,
            out_features=outputs,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous()
        assert x.dtype == torch.float32
        call = self._call
        out = x.new_empty(*x.shape[:-1], call.out_features)
        call.x, call.out, call.count = x.data_ptr(), out.data_ptr(), x.numel() // call.in_features
        call.threads = torch.get_num_threads()
        self._kernel(ctypes.byref(call))
        return out
