"""Attention of a decode step by our own kernel, see `attention.c`."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.kernels.program import launch
from chatterbox.models.precision import Precision
from chatterbox.models.t3.cache import KVCache, Run, Watch

_SOURCE = Path(__file__).with_name("attention.c")
_WIDTH = 64  # of a head
_Strides = ctypes.c_int64 * 2


class _Attention(ctypes.Structure):
    """`Attention` of the source."""

    _fields_ = (
        ("queries", ctypes.c_void_p),
        ("new_keys", ctypes.c_void_p),
        ("new_values", ctypes.c_void_p),
        ("query_strides", _Strides),
        ("key_strides", _Strides),
        ("value_strides", _Strides),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("rows", ctypes.POINTER(ctypes.c_int64)),
        ("lengths", ctypes.POINTER(ctypes.c_int64)),
        ("out", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("max_length", ctypes.c_int64),
        ("are_half", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def has_kernel(cache: KVCache) -> bool:
    """Whether `KernelStepping` can be used for this cache."""
    keys = cache.keys
    return keys.device.type == "cpu" and _can_read(keys.shape[-1], keys.dtype)


def cache_dtype(head_dim: int, precision: Precision) -> torch.dtype:
    """The type of keys and values on a CPU: float16 where weights are shorter than float32, too.

    A step of many streams reads more of them than of weights. torch's own attention is slower
    for it, so that without the kernel it is float32.
    """
    is_short = precision in ("fp16", "int8") and _can_read(head_dim, torch.float16)
    return torch.float16 if is_short else torch.float32


def _can_read(head_dim: int, dtype: torch.dtype) -> bool:
    library = compiled(_SOURCE)
    if library is None or head_dim != _WIDTH:
        return False
    if dtype == torch.float16:
        return bool(library.chatterbox_attention_of_halves())
    return dtype == torch.float32


class KernelStepping:
    """What `Stepping` does, at the speed of the memory; for a cache on the CPU."""

    def __init__(self, cache: KVCache, runs: Sequence[Run], watch: Watch | None = None) -> None:
        """The last position of every row of the even `runs` is the new one."""
        library = compiled(_SOURCE)
        assert library is not None, "see has_kernel"
        self._kernel = library.chatterbox_attention
        self._cache = cache  # which keeps what the call points to
        self._first = cache.keys.data_ptr(), cache.values.data_ptr()
        self._layer_bytes = cache.keys.stride(0) * cache.keys.element_size()
        self._watch = watch
        assert all(run.is_even for run in runs)
        rows = [row for run in runs for row in range(run.rows.start, run.rows.stop)]
        lengths = [run.reach for run in runs for _ in range(run.rows.start, run.rows.stop)]
        numbers = ctypes.c_int64 * len(rows)
        self._rows, self._lengths = numbers(*rows), numbers(*lengths)
        self._call = _Attention(
            rows=self._rows,
            lengths=self._lengths,
            count=len(rows),
            heads=cache.heads,
            max_length=cache.max_length,
            are_half=cache.keys.dtype == torch.float16,
            threads=torch.get_num_threads(),
        )

    def move(self, runs: Sequence[Run]) -> None:
        """The same rows have other lengths, in what was recorded too."""
        place = 0
        for run in runs:
            for row in range(run.rows.start, run.rows.stop):
                assert row == self._rows[place]
                self._lengths[place] = run.reach
                place += 1

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if self._watch is not None:
            self._watch(layer, queries)
        out = torch.empty(queries.shape)
        call = self._call
        call.queries, call.query_strides = _read(queries)
        call.new_keys, call.key_strides = _read(keys)
        call.new_values, call.value_strides = _read(values)
        call.keys, call.values = (first + layer * self._layer_bytes for first in self._first)
        call.out = out.data_ptr()
        launch(self._kernel, call, queries, keys, values, out, self)
        return out


def _read(new: Tensor) -> "tuple[int, ctypes.Array[ctypes.c_int64]]":
    """Where (rows, heads, 1, head_dim) lies, and its strides from row to row and head to head."""
    row, head, _, channel = new.stride()
    assert channel == 1
    assert new.dtype == torch.float32
    return new.data_ptr(), _Strides(row, head)
