"""Between the host and a GPU, without waiting for what the GPU still has to do.

A plain `.to()` or `torch.tensor(..., device=...)` waits for everything launched before it. From
and to pinned memory a copy takes its turn as a kernel does (CUDA C++ Programming Guide,
"Asynchronous Concurrent Execution"); PyTorch keeps such memory until the copy is over.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` there."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def integers(values: Sequence[int], device: torch.device) -> Tensor:
    """(n,) int64 there."""
    return to_device(torch.tensor(values, dtype=torch.int64), device)


def wait(device: torch.device) -> None:
    """Until what was launched on the current stream is done."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def to_host(tensor: Tensor) -> Tensor:
    """`tensor` for the host; from a GPU it holds nothing before the GPU has come so far."""
    if not tensor.is_cuda:
        return tensor
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    return copy
