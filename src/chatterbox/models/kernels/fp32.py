"""Linear layers and convolutions in float32 by our own kernel, see `fp32.c`."""

import ctypes
from pathlib import Path

import torch
from torch import Tensor, nn

from chatterbox.models.kernels.blocks import padded
from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.kernels.pages import placed
from chatterbox.models.kernels.program import Kernel, launch, side_by_side

_SOURCE = Path(__file__).with_name("fp32.c")
_BLOCK = 48


class _Linear(ctypes.Structure):
    """`Linear` of the source."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("frames", ctypes.c_int64),
        ("in_features", ctypes.c_int64),
        ("out_features", ctypes.c_int64),
        ("taps", ctypes.c_int64),
        ("x_batch", ctypes.c_int64),
        ("x_frame", ctypes.c_int64),
        ("x_tap", ctypes.c_int64),
        ("weights_are_half", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def has_kernel(layer: nn.Linear | nn.Conv1d) -> bool:
    """Whether `KernelLinear` or `KernelConvolution` can take the place of this layer."""
    weight = layer.weight
    if isinstance(layer, nn.Conv1d) and (layer.stride, layer.padding, layer.groups) != (
        (1,),
        (0,),
        1,
    ):
        return False
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32
    return fits and compiled(_SOURCE) is not None


class _Kernel(Kernel):
    """Weights as the kernel reads them. Used on one thread."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, dtype: torch.dtype) -> None:
        """`weight` is (out, in, taps), to be kept in float32 or float16."""
        library = compiled(_SOURCE)
        assert library is not None, "see has_kernel"
        super().__init__()
        self._kernel = library.chatterbox_fp32_linear
        outputs, inputs, taps = weight.shape
        blocks = padded(weight.detach(), _BLOCK).view(-1, _BLOCK, inputs, taps)
        self._weights = placed(blocks.permute(0, 3, 2, 1).to(dtype))
        self._bias = padded(torch.zeros(outputs) if bias is None else bias.detach(), _BLOCK)
        self._call = _Linear(
            weights=self._weights.data_ptr(),
            bias=self._bias.data_ptr(),
            in_features=inputs,
            out_features=outputs,
            taps=taps,
            batch=1,
            weights_are_half=dtype == torch.float16,
        )

    def _multiply(self, x: Tensor, out: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        self._call.x, self._call.out = x.data_ptr(), out.data_ptr()
        self._call.threads = torch.get_num_threads()
        launch(self._kernel, self._call, x, out)
        return out


class KernelLinear(_Kernel):
    """`nn.Linear` for inference, at the speed of the memory for few rows.

    A row's result does not depend on the rows beside it, to the last bit.
    """

    def __init__(self, linear: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        """Of weights in float16 the arithmetic stays in float32."""
        super().__init__(linear.weight[..., None], linear.bias, dtype=dtype)
        self._call.x_frame = linear.in_features

    def forward(self, x: Tensor) -> Tensor:
        call = self._call
        call.frames = x.numel() // call.in_features
        return self._multiply(side_by_side(x), x.new_empty(*x.shape[:-1], call.out_features))


class KernelConvolution(_Kernel):
    """`nn.Conv1d` for inference: (B, C, T) -> the same, with the channels innermost in memory.

    A frame's result does not depend on what is beside its taps, to the last bit.
    """

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__(convolution.weight, convolution.bias, dtype=torch.float32)
        (self._dilation,) = convolution.dilation

    def forward(self, x: Tensor) -> Tensor:
        call = self._call
        frames = x.transpose(1, 2).contiguous()
        batch, count, channels = frames.shape
        call.batch, call.frames = batch, count - (call.taps - 1) * self._dilation
        call.x_batch, call.x_frame = count * channels, channels
        call.x_tap = self._dilation * channels
        out = x.new_empty(batch, call.frames, call.out_features)
        return self._multiply(frames, out).transpose(1, 2)
