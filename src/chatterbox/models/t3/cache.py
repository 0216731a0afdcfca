"""KVCache: the keys and values of every sequence being spoken, allocated once.

A row belongs to one sequence (two rows under guidance). Rows are of different lengths and are
decoded together; who owns which row, and how long it is, is the caller's business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.models.kernels import pages
from chatterbox.models.t3.config import T3Config
from chatterbox.models.transfer import integers

Watch = Callable[[int, Tensor], None]


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
        place = torch.device(device)
        self.keys, self.values = (pages.zeros(shape, dtype, place) for _ in range(2))
        self.flat = [  # by layer, each (rows * heads * max_length, head_dim)
            (keys.view(-1, config.head_dim), values.view(-1, config.head_dim))
            for keys, values in zip(self.keys, self.values, strict=True)
        ]
        self.places = torch.arange(max_length, device=device)

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    @property
    def heads(self) -> int:
        return self.keys.shape[2]

    @property
    def max_length(self) -> int:
        return self.keys.shape[3]

    @property
    def size_bytes(self) -> int:
        return 2 * self.keys.numel() * self.keys.element_size()

    def copy(self, row: int, length: int) -> Tensor:
        """The beginning of a row, for `write`: (2, layers, heads, length, head_dim)."""
        return torch.stack([self.keys[:, row, :, :length], self.values[:, row, :, :length]])

    def write(self, rows: slice, beginning: Tensor) -> None:
        """Let rows begin with what `copy` gave."""
        length = beginning.shape[-2]
        self.keys[:, rows, :, :length] = beginning[0].unsqueeze(1)
        self.values[:, rows, :, :length] = beginning[1].unsqueeze(1)

    def addresses(self, rows: Sequence[int]) -> Tensor:
        """Where the heads of each row begin in a layer, counted in positions: (rows, heads)."""
        first = integers(rows, self.places.device)[:, None]
        heads = torch.arange(self.heads, device=self.places.device)
        return (first * self.heads + heads) * self.max_length


@dataclass(frozen=True, slots=True)
class Reading:
    """The memory of a pass that gives neighbouring rows new positions, for all the same."""

    cache: KVCache
    rows: slice
    span: slice

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        stored_keys, stored_values = self.cache.keys[layer], self.cache.values[layer]
        stored_keys[self.rows, :, self.span] = keys
        stored_values[self.rows, :, self.span] = values
        start, stop = self.span.start, self.span.stop
        places = self.cache.places[:stop]
        return functional.scaled_dot_product_attention(
            queries,
            stored_keys[self.rows, :, :stop].to(queries.dtype),
            stored_values[self.rows, :, :stop].to(queries.dtype),
            attn_mask=places <= places[start:, None] if start > 0 else None,
            is_causal=start == 0,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows that one call attends to."""

    part: slice  # of the batch
    rows: slice  # of the cache
    reach: int  # positions that are read
    is_even: bool  # every row has just so many, and no mask is needed


def plan_runs(rows: Sequence[int], lengths: Sequence[int]) -> list[Run]:
    """A batch of rows, and how many positions each has with its new one, as even runs.

    A call of its own costs a row of another length 10 us, but then it reads just what it has,
    and its result is the same to the last bit whoever else is in the batch.
    """
    runs: list[Run] = []
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        first, start = row, place
        if runs and row == runs[-1].rows.stop and length == runs[-1].reach:
            first, start = runs[-1].rows.start, runs[-1].part.start
            runs.pop()
        runs.append(Run(slice(start, place + 1), slice(first, row + 1), length, is_even=True))
    return runs


class Stepping:
    """The memory of a pass that gives every row of a batch one new position, wherever it is."""

    def __init__(
        self,
        cache: KVCache,
        runs: Sequence[Run],
        addresses: Tensor,
        positions: Tensor,
        watch: Watch | None = None,
    ) -> None:
        """`positions` (rows, 1) are the new ones; with `addresses` they say where to write.

        `watch` is shown each layer's queries (rows, heads, 1, head_dim).
        """
        self._cache = cache
        self._watch = watch
        self._runs = [(run, self._mask(run, positions)) for run in runs]
        self._new = (addresses + positions).flatten()

    def _mask(self, run: Run, positions: Tensor) -> Tensor | None:
        if run.is_even:
            return None
        return (self._cache.places[: run.reach] <= positions[run.part])[:, None, None]

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        stored_keys, stored_values = self._cache.keys[layer], self._cache.values[layer]
        flat_keys, flat_values = self._cache.flat[layer]
        if self._watch is not None:
            self._watch(layer, queries)
        width = keys.shape[-1]
        flat_keys.index_copy_(0, self._new, keys.reshape(-1, width))
        flat_values.index_copy_(0, self._new, values.reshape(-1, width))
        attended = [
            functional.scaled_dot_product_attention(
                queries[run.part],
                stored_keys[run.rows, :, : run.reach],
                stored_values[run.rows, :, : run.reach],
                attn_mask=mask,
            )
            for run, mask in self._runs
        ]
        return attended[0] if len(attended) == 1 else torch.cat(attended)
