"""Attention of S3Gen's frames to prompt, window and themselves by our own kernel, see `window.c`."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("window.c")
_WIDTH = 64  # of a head
_PLACES = 3
_Numbers = ctypes.POINTER(ctypes.c_int64)


class _Place(ctypes.Structure):
    """`Place` of the source."""

    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("first", _Numbers),
        ("last", _Numbers),
        ("group", ctypes.c_int64),
        ("row", ctypes.c_int64),
        ("head", ctypes.c_int64),
        ("frame", ctypes.c_int64),
    )


class _Attention(ctypes.Structure):
    """`Attention` of the source."""

    _fields_ = (
        ("places", _Place * _PLACES),
        ("queries", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("next_keys", ctypes.c_void_p),
        ("next_values", ctypes.c_void_p),
        ("kept", _Numbers),
        ("content_bias", ctypes.c_void_p),
        ("place_bias", ctypes.c_void_p),
        ("distances", ctypes.c_void_p),
        ("distance_head", ctypes.c_int64),
        ("distance_channel", ctypes.c_int64),
        ("farthest", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("group_rows", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("frames", ctypes.c_int64),
        ("window", ctypes.c_int64),
        ("threads", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many frames are valid, one number for each group of rows; see `Extent`."""

    prompt: Sequence[int]
    past: Sequence[int]
    new: Sequence[int]
    kept: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """What makes a score depend on how far away a key is: Transformer-XL's relative positions."""

    content_bias: Tensor  # (heads, 64), added to a query that meets keys
    place_bias: Tensor  # (heads, 64), added to one that meets distances
    table: Tensor  # (heads, 64, n), distances from the farthest on, falling by one
    farthest: int  # the first one of the table

    @property
    def spare(self) -> int:
        """Numbers behind the last one of the table that are there to be read."""
        table = self.table
        size = table.untyped_storage().nbytes() // table.element_size()
        last = sum((n - 1) * step for n, step in zip(table.shape, table.stride(), strict=True))
        return int(size - table.storage_offset() - last - 1)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Keys and values of one layer, those of a kind side by side in the first dimension."""

    prompt: (
        Tensor  # (2, groups, rows of a group, heads, prompt_size, 64); one voice's, maybe, for all
    )
    past: Tensor  # (2, rows, heads, window, 64)
    next_past: Tensor  # the same, contiguous: written with what will be remembered


def has_kernel(like: Tensor) -> bool:
    """Whether `WindowKernel` can be used for queries like these, (..., head_dim)."""
    fits = like.shape[-1] == _WIDTH and like.dtype == torch.float32 and like.device.type == "cpu"
    return fits and not like.requires_grad and compiled(_SOURCE) is not None


class WindowKernel:
    """Attention of one pass, in whatever layer, without the copies that torch needs."""

    def __init__(self, counts: Counts, *, group_rows: int, prompt_size: int, window: int) -> None:
        """`prompt_size` and `window` are the frames that the tensors have room for."""
        library = compiled(_SOURCE)
        assert library is not None, "see has_kernel"
        self._kernel = library.chatterbox_window_attention
        self._group_rows = group_rows
        spans = (
            ([prompt_size - n for n in counts.prompt], [prompt_size] * len(counts.prompt)),
            ([window - n for n in counts.past], [window] * len(counts.past)),
            ([0] * len(counts.new), counts.new),
        )
        places = (_Place(first=self._by_row(a), last=self._by_row(b)) for a, b in spans)
        self._call = _Attention(
            places=(_Place * _PLACES)(*places),
            kept=self._by_row(counts.kept),
            rows=group_rows * len(counts.new),
            group_rows=group_rows,
            window=window,
            threads=torch.get_num_threads(),
        )

    def _by_row(self, counts: Sequence[int]) -> "ctypes.Array[ctypes.c_int64]":
        each = [count for count in counts for _ in range(self._group_rows)]
        return (ctypes.c_int64 * len(each))(*each)

    def attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        remembered: Remembered,
        distances: Distances | None = None,
    ) -> Tensor:
        """Queries (rows, heads, frames, 64), new keys and values like them -> the same."""
        rows, heads, frames, width = queries.shape
        assert queries.stride() == keys.stride() == values.stride()
        assert remembered.next_past.is_contiguous()
        out = queries.new_empty(rows, frames, heads, width)
        call = self._call
        group = self._group_rows
        old = remembered.past.view(2, -1, group, *remembered.past.shape[2:])
        fresh = [part.view(-1, group, *part.shape[1:]) for part in (keys, values)]
        _point(call.places[0], remembered.prompt[0], remembered.prompt[1])
        _point(call.places[1], old[0], old[1])
        _point(call.places[2], fresh[0], fresh[1])
        call.queries, call.out = queries.data_ptr(), out.data_ptr()
        call.next_keys, call.next_values = (part.data_ptr() for part in remembered.next_past)
        call.heads, call.frames = heads, frames
        call.distances = None
        if distances is not None:
            self._measure(distances)
        if self._kernel(ctypes.byref(call)):
            raise MemoryError("there is no room for the keys of a head")
        return out.transpose(1, 2)

    def _measure(self, distances: Distances) -> None:
        call, table = self._call, distances.table
        assert distances.spare >= _WIDTH, "whole blocks are read"
        call.content_bias = distances.content_bias.data_ptr()
        call.place_bias = distances.place_bias.data_ptr()
        call.distances, call.farthest = table.data_ptr(), distances.farthest
        call.distance_head, call.distance_channel, step = table.stride()
        assert step == 1


def _point(place: _Place, keys: Tensor, values: Tensor) -> None:
    assert keys.stride() == values.stride()
    assert keys.dtype == values.dtype == torch.float32
    place.keys, place.values = keys.data_ptr(), values.data_ptr()
    place.group, place.row, place.head, place.frame, channel = keys.stride()
    assert channel == 1
