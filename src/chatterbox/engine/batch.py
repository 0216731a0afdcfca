"""Batch: the sequences of one decode step as tensors."""

from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.engine.sampler import SamplingTable
from chatterbox.speech import Sampling


@dataclass(eq=False, slots=True, kw_only=True)
class Speaker:
    """What the T3 runner keeps of one sequence while it has a slot."""

    slot: int
    sampling: Sampling  # settled: nothing is None
    guided: bool  # decoded in two rows
    least_tokens: int  # no stop before that many
    length: int = 0  # positions of its cache rows in use
    drawn: int = 0  # tokens drawn so far
    last_token: int = 0

    @property
    def seed(self) -> int:
        assert self.sampling.seed is not None, "the synthesizer set one"
        return self.sampling.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What stays the same from step to step while the same speakers are decoded together.

    Slot s owns cache rows 2s and, under guidance, 2s + 1, so that neighbouring slots are
    neighbouring rows.
    """

    speakers: tuple[Speaker, ...]
    rows: Tensor  # (n,) cache rows, n between one and two per speaker
    owners: Tensor  # (n,) the speaker of each row, by its place
    told: Tensor  # (speakers,) the place in `rows` of the row that knows the text
    untold: Tensor  # (speakers,) of the one that does not; the same where there is no guidance
    slots: Tensor  # (speakers,)
    seeds: Tensor  # (speakers,)
    table: SamplingTable

    @classmethod
    def of(
        cls,
        speakers: Several[Speaker],
        *,
        rows_per_slot: int,
        vocabulary: int,
        penalty_last: bool,
        device: torch.device,
    ) -> "Membership":
        """Speakers in the order of their slots."""
        ordered = tuple(sorted(speakers, key=lambda speaker: speaker.slot))
        rows: list[int] = []
        owners: list[int] = []
        told: list[int] = []
        untold: list[int] = []
        for place, speaker in enumerate(ordered):
            told.append(len(rows))
            for row in range(2 if speaker.guided else 1):
                rows.append(speaker.slot * rows_per_slot + row)
                owners.append(place)
            untold.append(len(rows) - 1)

        def indices(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        return cls(
            speakers=ordered,
            rows=indices(rows),
            owners=indices(owners),
            told=indices(told),
            untold=indices(untold),
            slots=indices([speaker.slot for speaker in ordered]),
            seeds=indices([speaker.seed for speaker in ordered]),
            table=SamplingTable.of(
                [speaker.sampling for speaker in ordered],
                vocabulary=vocabulary,
                penalty_last=penalty_last,
                device=device,
            ),
        )

    def gather(self, values: list[int]) -> Tensor:
        """One number per speaker, on the device: (speakers,) int64."""
        return torch.tensor(values, dtype=torch.int64, device=self.rows.device)
