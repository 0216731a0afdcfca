"""Memory in large pages, where the system has them (Linux).

A decode step reads all weights, keys and values once. In pages of 4 kB a processor looks up one of
them every few hundred cycles, and its own prefetching ends with each; in pages of 2 MB it reads up to
a quarter faster (docs/performance.md).
"""

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK_BYTES = 32 << 20  # of many small tensors together
_LARGE_BYTES = 4 << 20
_LINE_BYTES = 64  # of the cache; no register straddles two of them


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As `torch.zeros`. What is large takes memory where it is written only, and gives it back at once."""
    own = _own_pages(shape, dtype, device)
    return torch.zeros(shape, dtype=dtype, device=device) if own is None else own


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """As `torch.empty`, for what will be written wholly."""
    own = _own_pages(shape, dtype, device)
    return torch.empty(shape, dtype=dtype, device=device) if own is None else own


def placed(weights: Tensor) -> Tensor:
    """A contiguous copy. Small ones share their memory, which is freed with the last of them."""
    return _pages.zeros(weights.shape, weights.dtype).copy_(weights)


def _own_pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or size < _LARGE_BYTES:
        return None
    return torch.frombuffer(_chunk_of(size), dtype=dtype).view(*shape)


class _Pages:
    """Chunks of memory, given out from front to back and never again."""

    def __init__(self) -> None:
        self._chunk = mmap.mmap(-1, 1)
        self._used = 1

    def zeros(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        size = max(1, math.prod(shape)) * dtype.itemsize
        chunk, start = self._room_for(size)
        flat = torch.frombuffer(chunk, dtype=torch.uint8, count=size, offset=start)
        return flat.view(dtype)[: math.prod(shape)].view(*shape)

    def _room_for(self, size: int) -> tuple[mmap.mmap, int]:
        if size > _CHUNK_BYTES // 2:
            return _chunk_of(size), 0
        if self._used + size > len(self._chunk):
            self._chunk, self._used = _chunk_of(_CHUNK_BYTES), 0
        start = self._used
        self._used += size + -size % _LINE_BYTES
        return self._chunk, start


def _chunk_of(size: int) -> mmap.mmap:
    chunk = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        chunk.madvise(mmap.MADV_HUGEPAGE)
    return chunk


_pages = _Pages()
