"""Program: the kernels that a pass of a network called, called again by one call.

A decode step of a small model calls some hundred kernels of ten microseconds each, and Python takes
as long to call the next. The pass is recorded once, as CUDA graphs are: what was read from where
stays there, and whoever repeats it fills that first. Python's lock is not held meanwhile.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from chatterbox.models.kernels.compiler import compiled

_SOURCE = Path(__file__).with_name("program.c")
_recording = threading.local()


class _Entry(ctypes.Structure):
    """`Entry` of the source."""

    _fields_ = (("kernel", ctypes.c_void_p), ("call", ctypes.c_void_p))


class Program:
    """The calls of one pass, and the tensors they read and write. Used on one thread."""

    def __init__(self) -> None:
        self.is_whole = True  # whether it does all that the pass did
        self._calls: list[tuple[int | None, ctypes.Structure]] = []
        self._kept: list[object] = []
        self._entries: ctypes.Array[_Entry] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, kernel: Any, call: ctypes.Structure, kept: tuple[object, ...]) -> None:
        self._calls.append(
            (ctypes.cast(kernel, ctypes.c_void_p).value, type(call).from_buffer_copy(call))
        )
        self._kept.append(kept)

    def run(self) -> None:
        """Call them all again."""
        assert self.is_whole, "something in the pass was no kernel"
        library = compiled(_SOURCE)
        assert library is not None, "there are kernels"
        if self._entries is None:
            entries = [_Entry(kernel, ctypes.addressof(call)) for kernel, call in self._calls]
            self._entries = (_Entry * len(entries))(*entries)
        library.chatterbox_program(self._entries, ctypes.c_int64(len(self._entries)))


class Kernel(nn.Module):
    """A layer that is one call of a kernel."""


@contextmanager
def recorded() -> Iterator[Program]:
    """A program of what is launched on this thread inside."""
    assert current() is None, "one at a time"
    _recording.program = program = Program()
    try:
        yield program
    finally:
        _recording.program = None


def current() -> Program | None:
    """The program that is being recorded on this thread, if any."""
    return getattr(_recording, "program", None)


def launch(kernel: Any, call: ctypes.Structure, *kept: object) -> None:
    """Call a kernel. `kept` is what `call` points to."""
    kernel(ctypes.byref(call))
    program = current()
    if program is not None:
        program.add(kernel, call, kept)


def missed() -> None:
    """To be called where torch does what a kernel might have done."""
    program = current()
    if program is not None:
        program.is_whole = False


def side_by_side(x: Tensor) -> Tensor:
    """`x`, or a copy, with its numbers in order."""
    if x.is_contiguous():
        return x
    missed()
    return x.contiguous()


def can_repeat(*modules: nn.Module) -> bool:
    """Whether every layer below these is a kernel."""
    leaves = (leaf for module in modules for leaf in module.modules() if not [*leaf.children()])
    return all(isinstance(leaf, Kernel) for leaf in leaves) and compiled(_SOURCE) is not None
