"""Lane: an order of work on a device. Two lanes of a GPU run beside each other.

T3 is bound by memory and leaves most of a GPU idle, S3Gen multiplies large matrices: with a CUDA
stream for each, audio is rendered while the next tokens are drawn. What is launched inside
`lane.inside()` or by `lane.launch` belongs to that lane, its allocations too; another lane may
read what came of it once the job is done. A CPU has one lane only, the caller's thread.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, Protocol, TypeVar

import torch

from chatterbox.engine.job import Done, Job

T = TypeVar("T")
Launch = Callable[[], Callable[[], T]]  # gives what makes the result, once all it launched is done

_URGENT, _PATIENT = -1, 0  # CUDA's priorities: blocks of a lower number are placed first


class Lane(Protocol):
    """Used on the device's one thread."""

    def inside(self) -> AbstractContextManager[object]:
        """A context whose work belongs to this lane."""

    def launch(self, launch: Launch[T]) -> Job[T]:
        """Begin something, inside."""

    def wait(self) -> None:
        """Until all that was begun is done."""


class CallersLane:
    """The only lane of a CPU: everything is done at once."""

    def inside(self) -> AbstractContextManager[object]:
        return nullcontext()

    def launch(self, launch: Launch[T]) -> Job[T]:
        return Done(launch()())

    def wait(self) -> None:
        pass


class CudaLane:
    """A CUDA stream of its own."""

    def __init__(self, device: torch.device, *, urgent: bool) -> None:
        priority = _URGENT if urgent else _PATIENT
        self._stream = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]

    def inside(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._stream)

    def launch(self, launch: Launch[T]) -> Job[T]:
        began, ended = _event(), _event()
        with self.inside():
            began.record()
            finish = launch()
            ended.record()
        return _CudaJob(self, began, ended, finish)

    def wait(self) -> None:
        self._stream.synchronize()


class _CudaJob(Generic[T]):
    def __init__(
        self,
        lane: CudaLane,
        began: torch.cuda.Event,
        ended: torch.cuda.Event,
        finish: Callable[[], T],
    ) -> None:
        self._lane = lane
        self._began, self._ended = began, ended
        self._finish = finish

    @property
    def is_done(self) -> bool:
        is_done: bool = self._ended.query()  # type: ignore[no-untyped-call]
        return is_done

    @property
    def seconds(self) -> float:
        milliseconds: float = self._began.elapsed_time(self._ended)
        return milliseconds / 1000

    def result(self) -> T:
        self._ended.synchronize()
        with self._lane.inside():
            return self._finish()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def lanes_of(device: torch.device) -> tuple[Lane, Lane]:
    """One to draw tokens, which goes first where both want the same, and one to render audio."""
    if device.type == "cuda":
        return CudaLane(device, urgent=True), CudaLane(device, urgent=False)
    return CallersLane(), CallersLane()
