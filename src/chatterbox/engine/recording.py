"""Recorder: device work that is recorded once and replayed, so that the host need not dispatch it.

The work reads and writes tensors that stay where they are; whoever replays it fills them first.
"""

from collections.abc import Callable
from typing import Protocol

import torch

Work = Callable[[], None]

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
