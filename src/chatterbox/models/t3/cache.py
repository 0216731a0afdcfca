"""KVCache: the keys and values of every sequence being spoken, allocated once.

A row belongs to one sequence (two rows under guidance). Rows are of different lengths and are
decoded together; who owns which row, and how long it is, is the caller's business.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.models.t3.config import T3Config


class KVCache:
    """Fixed storage for `rows` sequences of at most `max_length` positions."""

    def __init__(
        self,
        config: T3Config,
        *,
        rows: int,
        max_length: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        assert max_length <= config.max_positions
        shape = (config.layers, rows, config.heads, max_length, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def max_length(self) -> int:
        return self.keys.shape[3]

    @property
    def size_bytes(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()

    def open(self, rows: Tensor, positions: Tensor, reach: int | None = None) -> "CacheView":
        """The memory of one pass: `rows` (n,) get new entries at `positions` (n, time).

        Attention covers the first `reach` places of each row. None finds the least that will
        do, which reads `positions` back from the device: inside a CUDA graph, give it.
        """
        if reach is None:
            reach = int(positions[:, -1].max()) + 1
        places = torch.arange(reach, device=positions.device)
        mask = (places <= positions[..., None]).unsqueeze(1)
        if self.keys.device.type == "cpu":
            return self._open_sliced(rows, positions, reach, mask)
        return CacheView(self, rows, positions, reach, mask)

    def _open_sliced(
        self, rows: Tensor, positions: Tensor, reach: int, mask: Tensor
    ) -> "CacheView":
        """On the CPU looking at the indices is free, and neighbouring rows need no copy."""
        first, last = int(rows[0]), int(rows[-1])
        neighbours = torch.equal(rows, torch.arange(first, first + len(rows)))
        aligned = bool((positions == positions[0]).all())
        return CacheView(
            self,
            rows,
            positions,
            reach,
            None if bool(mask.all()) else mask,
            block=slice(first, last + 1) if neighbours else None,
            span=slice(int(positions[0, 0]), int(positions[0, -1]) + 1) if aligned else None,
        )


@dataclass(slots=True)
class CacheView:
    """The rows and places of a cache that one pass over a batch touches."""

    cache: KVCache
    rows: Tensor  # (n,)
    positions: Tensor  # (n, time)
    reach: int
    mask: Tensor | None  # (n, 1, time, reach), None when every query may look everywhere
    block: slice | None = None  # the same as `rows`, where they are neighbours in order
    span: slice | None = None  # the same as `positions`, where all rows are aligned

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (n, heads, time, head_dim) in place; returns the first `reach` places."""
        return (
            self._extend(self.cache.keys[layer], keys),
            self._extend(self.cache.values[layer], values),
        )

    def _extend(self, stored: Tensor, fresh: Tensor) -> Tensor:
        if self.block is not None and self.span is not None:
            stored[self.block, :, self.span] = fresh
        else:
            stored[self.rows[:, None], :, self.positions] = fresh.transpose(1, 2)
        if self.block is not None:
            return stored[self.block, :, : self.reach]
        return stored[:, :, : self.reach].index_select(0, self.rows)
