"""How decode steps are run: one after another, or as a recorded graph."""

from collections.abc import Sequence as Several
from typing import Protocol

import torch

from chatterbox.engine.batch import Batch, Speaker
from chatterbox.engine.step import DecodeStep
from chatterbox.models.t3.cache import plan_runs


class StepRunner(Protocol):
    """Runs decode steps for speakers in the order of their slots."""

    def run(self, speakers: Several[Speaker], steps: int) -> list[list[int]]:
        """The tokens of each speaker; after an end they mean nothing."""


class EagerSteps:
    """Steps of just the speakers there are, dispatched one operation at a time."""

    def __init__(self, step: DecodeStep) -> None:
        self._step = step
        self._speakers: list[Speaker] = []
        self._batch: Batch | None = None

    def run(self, speakers: Several[Speaker], steps: int) -> list[list[int]]:
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
        return torch.stack(drawn, dim=1).tolist()
