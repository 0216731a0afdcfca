"""How decode steps are run: operation by operation, or as recordings of a few shapes."""

from collections.abc import Callable
from collections.abc import Sequence as Several
from typing import Protocol

import torch

from chatterbox.engine.batch import Batch, Speaker
from chatterbox.engine.recording import Recorder, Work
from chatterbox.engine.step import DecodeStep
from chatterbox.models.t3.cache import Run, plan_runs
from chatterbox.models.transfer import to_device, to_host

Columns = Callable[[], list[list[int]]]

_LEAST_REACH = 256  # positions; below, a step takes no less time


class StepRunner(Protocol):
    """Runs decode steps for speakers in the order of their slots."""

    def prepare(self) -> None:
        """Do beforehand what can be done once for all; nobody may be speaking."""

    def run(self, speakers: Several[Speaker], steps: int) -> Columns:
        """Launch steps; once they are done, and before the next, the tokens of each speaker.

        After an end they mean nothing.
        """


class EagerSteps:
    """Steps of just the speakers there are, dispatched one operation at a time."""

    def __init__(self, step: DecodeStep) -> None:
        self._step = step
        self._speakers: list[Speaker] = []
        self._batch: Batch | None = None

    def prepare(self) -> None:
        pass

    def run(self, speakers: Several[Speaker], steps: int) -> Columns:
        batch = self._batch
        if batch is None or list(speakers) != self._speakers:
            batch = self._batch = Batch.of(speakers, self._step.slots, self._step.cache)
            self._speakers = list(speakers)
        drawn = []
        for number in range(1, steps + 1):
            lengths = [
                speaker.length + number
                for speaker in speakers
                for _ in range(2 if speaker.guided else 1)
            ]
            drawn.append(self._step(batch, plan_runs(batch.rows, lengths)))
        told = to_host(torch.stack(drawn, dim=1))
        return told.tolist


class GraphSteps:
    """Steps of the first 1, 2, 4, ... slots, each recorded for a few reaches of attention.

    A recording is the same whoever speaks: the slots say who is called, how far along it is and
    how it is sampled. The host replays, and is told the tokens of several steps at once.
    """

    def __init__(self, step: DecodeStep, recorder: Recorder, *, most_steps: int) -> None:
        self._step = step
        self._recorder = recorder
        self._replays: dict[tuple[int, int], Work] = {}
        self._called: set[int] = set()
        slots = step.slots.called
        self._drawn = torch.zeros(len(slots), dtype=torch.int64, device=slots.device)
        self._columns = self._drawn.new_zeros(most_steps, len(slots))
        on_gpu = slots.device.type == "cuda"
        self._told = torch.zeros(self._columns.shape, dtype=torch.int64, pin_memory=on_gpu)

    @property
    def widths(self) -> list[int]:
        """How many slots step together: powers of two, and all."""
        return _doubling(1, len(self._drawn))

    @property
    def reaches(self) -> list[int]:
        """How many positions are attended to."""
        return _doubling(_LEAST_REACH, self._step.cache.max_length)

    def prepare(self) -> None:
        for width in self.widths:
            for reach in self.reaches:
                self._recorded(width, reach)

    def run(self, speakers: Several[Speaker], steps: int) -> Columns:
        longest = max(speaker.length for speaker in speakers) + steps
        width = next(width for width in self.widths if width > speakers[-1].slot)
        replay = self._recorded(width, next(reach for reach in self.reaches if reach >= longest))
        self._call({speaker.slot for speaker in speakers})
        for number in range(steps):
            replay()
            self._columns[number].copy_(self._drawn)
        self._told.copy_(self._columns, non_blocking=True)
        slots = [speaker.slot for speaker in speakers]

        def columns() -> list[list[int]]:
            rows = self._told[:steps].tolist()
            return [[row[slot] for row in rows] for slot in slots]

        return columns

    def _recorded(self, width: int, reach: int) -> Work:
        replay = self._replays.get((width, reach))
        if replay is None:
            slots, cache = self._step.slots, self._step.cache
            batch = Batch.leading(width, slots, cache)
            rows = slice(0, len(batch.rows))
            run = Run(part=rows, rows=rows, reach=reach, is_even=False)

            def work() -> None:
                self._drawn[:width] = self._step(batch, [run])

            self._call(set())  # recording runs the step, which must move nobody
            replay = self._replays[width, reach] = self._recorder.record(work)
        return replay

    def _call(self, slots: set[int]) -> None:
        if slots != self._called:
            called = [slot in slots for slot in range(len(self._drawn))]
            self._step.slots.called.copy_(to_device(torch.tensor(called), self._drawn.device))
            self._called = slots


def _doubling(least: int, most: int) -> list[int]:
    """`least`, twice that, and so on, and `most`."""
    numbers = []
    while least < most:
        numbers.append(least)
        least *= 2
    return [*numbers, most]
