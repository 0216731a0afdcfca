"""Recorder: device work that is recorded once and replayed, so that the host need not dispatch it.

The work reads and writes tensors that stay where they are; whoever replays it fills them first.
"""

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

import torch

Work = Callable[[], None]
S = TypeVar("S", bound=Hashable)
F = TypeVar("F")

MAX_FORMS = 64  # recordings of one network; beyond, batches run unrecorded

_REHEARSALS = 3  # before a recording: libraries choose their kernels and allocate then


class Recorder(Protocol):
    """Records work with fixed shapes, without anything read back by the host."""

    def record(self, work: Work) -> Work:
        """Run `work`, and return what does the same again."""


class Repetition:
    """Records nothing: the work is done again. On a CPU, and to test what is recorded elsewhere."""

    def record(self, work: Work) -> Work:
        work()
        return work


class CudaRecorder:
    """CUDA graphs, all with memory from one pool: only one of them runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Work) -> Work:
        current = aside = torch.cuda.current_stream()
        if current == torch.cuda.default_stream():  # on which nothing can be recorded
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(_REHEARSALS):
                work()
        graph = torch.cuda.CUDAGraph()
        # On the stream of its lane, so that the kernels are recorded with that one's priority.
        with torch.cuda.graph(graph, pool=self._pool, stream=aside):
            work()
        current.wait_stream(aside)
        graph.replay()
        return graph.replay


class Forms(Generic[S, F]):
    """What was made for each of a few shapes."""

    def __init__(self, make: Callable[[S], F]) -> None:
        self._make = make
        self._made: dict[S, F] = {}

    def __len__(self) -> int:
        return len(self._made)

    def of(self, shape: S) -> F | None:
        """That of a shape; None where there are `MAX_FORMS` of others."""
        if shape not in self._made and len(self._made) < MAX_FORMS:
            self._made[shape] = self._make(shape)
        return self._made.get(shape)


def at_least(count: int) -> int:
    """The power of two that many rows are padded to."""
    return 1 << (count - 1).bit_length()


def rounded(count: int, step: int) -> int:
    """The multiple of `step` that so many are padded to."""
    return -(-count // step) * step
