"""Drawing of tokens by our own kernel, see `draw.c`; what it draws, engine/sampler.py says."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("draw.c")
_ROOM = 5  # numbers for each token of the vocabulary


class _Draw(ctypes.Structure):
    """`Draw` of the source."""

    _fields_ = (
        ("scores", ctypes.c_void_p),
        ("slots", ctypes.POINTER(ctypes.c_int64)),
        ("told", ctypes.POINTER(ctypes.c_int64)),
        ("untold", ctypes.POINTER(ctypes.c_int64)),
        ("tokens", ctypes.c_void_p),
        ("drawn", ctypes.c_void_p),
        ("seeds", ctypes.c_void_p),
        ("least", ctypes.c_void_p),
        ("live", ctypes.c_void_p),
        ("fresh", ctypes.c_void_p),
        ("seen", ctypes.c_void_p),
        ("cfg_weight", ctypes.c_void_p),
        ("temperature", ctypes.c_void_p),
        ("floor", ctypes.c_void_p),
        ("top_p", ctypes.c_void_p),
        ("penalty", ctypes.c_void_p),
        ("greedy", ctypes.c_void_p),
        ("top_k", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("room", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("vocabulary", ctypes.c_int64),
        ("codes", ctypes.c_int64),
        ("stop", ctypes.c_int64),
        ("start", ctypes.c_int64),
        ("penalty_last", ctypes.c_int32),
        ("keeps_start", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What is known of every slot, on the CPU: int64, bool or float32 as the source has it.

    All are (slots,) or (slots, 1), but `seen`, which is (slots, vocabulary). They stay where they are.
    """

    tokens: Tensor
    drawn: Tensor
    seeds: Tensor
    least: Tensor
    live: Tensor
    fresh: Tensor
    seen: Tensor
    cfg_weight: Tensor
    temperature: Tensor
    floor: Tensor
    top_p: Tensor
    penalty: Tensor
    greedy: Tensor
    top_k: Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """Whose scores are in which rows, for slots that draw together."""

    slots: Sequence[int]
    told: Sequence[int]  # of the row that knows the text
    untold: Sequence[int]  # of the one that does not; the same where there is none


def has_kernel(device: torch.device) -> bool:
    """Whether `KernelDraw` can be used."""
    return device.type == "cpu" and compiled(_SOURCE) is not None


class KernelDraw:
    """Draws a token for each of some slots, and notes it there."""

    def __init__(
        self,
        columns: Columns,
        *,
        codes: int,
        stop: int,
        start: int,
        penalty_last: bool,
        keeps_start: bool,
    ) -> None:
        """Drawn are the tokens below `codes`, and `stop`; see `History` of `start`."""
        library = compiled(_SOURCE)
        assert library is not None, "see has_kernel"
        self._kernel = library.chatterbox_draw
        self._columns = columns  # which keeps what the call points to
        self._rows: Rows | None = None
        slots, vocabulary = columns.seen.shape
        self._room = torch.empty(slots, _ROOM, vocabulary, dtype=torch.int32)
        self._call = _Draw(
            vocabulary=vocabulary,
            codes=codes,
            stop=stop,
            start=start,
            penalty_last=penalty_last,
            keeps_start=keeps_start,
            room=self._room.data_ptr(),
        )
        for name in Columns.__dataclass_fields__:
            column = getattr(columns, name)
            assert column.is_contiguous()
            setattr(self._call, name, column.data_ptr())

    def draw(self, rows: Rows, scores: Tensor) -> Tensor:
        """(rows, n) float32 -> (slots,) tokens; of those that are not live, the latest."""
        call = self._call
        assert scores.dtype == torch.float32
        assert scores.stride(1) == 1
        if rows is not self._rows:
            numbers = ctypes.c_int64 * len(rows.slots)
            call.slots = numbers(*rows.slots)
            call.told, call.untold = numbers(*rows.told), numbers(*rows.untold)
            call.count = len(rows.slots)
            self._rows = rows
        out = torch.empty(len(rows.slots), dtype=torch.int64)
        call.scores, call.stride = scores.data_ptr(), scores.stride(0)
        call.out, call.threads = out.data_ptr(), torch.get_num_threads()
        self._kernel(ctypes.byref(call))
        return out
