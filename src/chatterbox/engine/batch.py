"""Slots and Batch: what a decode step knows of each sequence, and of those it steps together.

Everything that differs from sequence to sequence lies in tensors indexed by slot, which are made
once and written in place: a step can be recorded and replayed while sequences come and go.
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from chatterbox.engine.sampler import History, SamplingTable
from chatterbox.models.kernels.draw import Columns, Rows
from chatterbox.models.t3.cache import KVCache
from chatterbox.models.transfer import integers
from chatterbox.speech import Sampling

Places = slice | Tensor  # evenly spaced ones, which are a view, or any


@dataclass(eq=False, slots=True, kw_only=True)
class Speaker:
    """What the T3 runner keeps on the host of one sequence while it has a slot."""

    slot: int
    sampling: Sampling  # settled: nothing is None
    guided: bool  # decoded in two rows
    least_tokens: int  # no stop before that many
    timed: bool = False  # where it looks is kept
    text: slice = field(default_factory=lambda: slice(0))  # the positions of its text
    length: int = 0  # positions of its cache rows in use
    drawn: int = 0  # tokens drawn so far

    @property
    def seed(self) -> int:
        assert self.sampling.seed is not None, "the synthesizer set one"
        return self.sampling.seed


class Slots:
    """The state of every slot on the device. All tensors stay where they are for good."""

    def __init__(
        self,
        count: int,
        *,
        vocabulary: int,
        start: int,
        rows_each: int,
        penalty_last: bool,
        device: torch.device,
    ) -> None:
        def integers() -> Tensor:
            return torch.zeros(count, dtype=torch.int64, device=device)

        self.tokens = integers()  # the latest token
        self.lengths = integers()  # cache positions in use
        self.drawn = integers()  # tokens drawn so far
        self.seeds = integers()
        self.least = integers()  # no stop before that many tokens
        self.live = torch.zeros(count, dtype=torch.bool, device=device)  # neither ended nor empty
        self.called = torch.zeros(count, dtype=torch.bool, device=device)  # to a recorded step
        self.guided = torch.zeros(count, 1, dtype=torch.bool, device=device)
        idle = Sampling(
            temperature=1.0,
            cfg_weight=0.0,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            repetition_penalty=1.0,
        )
        self.table = SamplingTable.of(
            [idle] * count, vocabulary=vocabulary, penalty_last=penalty_last, device=device
        )
        self.history = History(
            slots=count,
            vocabulary=vocabulary,
            start=start,
            keeps_start=not penalty_last,
            device=device,
        )
        self.rows_each = rows_each  # of the cache: two in a family with guidance
        self._vocabulary = vocabulary

    def occupy(self, speaker: Speaker) -> None:
        """Write a newcomer's settings into its slot; it is not live before its first token."""
        slot = speaker.slot
        self.lengths[slot] = 0
        self.drawn[slot] = 0
        self.seeds[slot] = speaker.seed
        self.least[slot] = speaker.least_tokens
        self.live[slot] = False
        self.guided[slot] = speaker.guided
        row = self.settings([speaker])
        for column in _COLUMNS:
            getattr(self.table, column)[slot] = getattr(row, column)[0]
        self.history.begin(slot)

    def columns(self) -> Columns:
        """What a draw reads and writes."""
        table, history = self.table, self.history
        return Columns(
            tokens=self.tokens,
            drawn=self.drawn,
            seeds=self.seeds,
            least=self.least,
            live=self.live,
            fresh=history.fresh,
            seen=history.seen,
            cfg_weight=table.cfg_weight,
            temperature=table.temperature,
            floor=table.floor,
            top_p=table.top_p,
            penalty=table.repetition_penalty,
            greedy=table.greedy,
            top_k=table.top_k,
        )

    def resume(self, speaker: Speaker, spoken: Several[int]) -> None:
        """Let an occupant have drawn these tokens, at least one."""
        slot = speaker.slot
        self.tokens[slot] = spoken[-1]
        self.drawn[slot] = len(spoken)
        self.history.resume(slot, integers(spoken, self.tokens.device))

    def settings(self, speakers: Several[Speaker]) -> SamplingTable:
        """The table of some speakers alone, with flags that save what none of them needs."""
        return SamplingTable.of(
            [speaker.sampling for speaker in speakers],
            vocabulary=self._vocabulary,
            penalty_last=self.table.penalty_last,
            device=self.tokens.device,
        )


_COLUMNS = tuple(each.name for each in fields(SamplingTable) if each.type is Tensor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Slots that step together, and the cache rows they step in.

    Slot s owns cache rows 2s and, in a family with guidance, 2s + 1, so that neighbouring slots
    are neighbouring rows.
    """

    slots: Places
    slot_numbers: Tensor  # the same: (slots,)
    owners: Places  # the place among the slots of each row's slot
    told: Places  # the place among the rows of the row that knows the text
    untold: Places | None  # of the one that does not; None where nobody is guided
    called: Tensor | None  # (slots,) whose turn it is; None: everybody's
    guided: Tensor | None  # (slots, 1), given where untold rows of the unguided mean nothing
    rows: tuple[int, ...]  # of the cache
    addresses: Tensor  # of those, see `KVCache.addresses`
    table: SamplingTable
    watched: bool  # whether where it looks is kept, of all or of none
    places: Rows | None  # slots and rows again, as the host knows them; None of a recorded batch

    @classmethod
    def of(cls, speakers: Several[Speaker], slots: Slots, cache: KVCache) -> "Batch":
        """Just these speakers, in this order; only those that are guided take two rows."""
        numbers = [speaker.slot for speaker in speakers]
        rows: list[int] = []
        owners: list[int] = []
        told: list[int] = []
        untold: list[int] = []
        for place, speaker in enumerate(speakers):
            told.append(len(rows))
            for row in range(2 if speaker.guided else 1):
                rows.append(speaker.slot * slots.rows_each + row)
                owners.append(place)
            untold.append(len(rows) - 1)
        device = slots.tokens.device
        return cls(
            slots=_places(numbers, device),
            slot_numbers=integers(numbers, device),
            owners=_places(owners, device),
            told=_places(told, device),
            untold=_places(untold, device) if len(rows) > len(speakers) else None,
            called=None,
            guided=None,
            rows=tuple(rows),
            addresses=cache.addresses(rows),
            table=slots.settings(speakers),
            watched=any(speaker.timed for speaker in speakers),
            places=Rows(numbers, told, untold),
        )

    @classmethod
    def leading(cls, count: int, slots: Slots, cache: KVCache) -> "Batch":
        """The first `count` slots with all their rows, occupied or not, called or not.

        Its tensors are those of the slots: who is called may change, the batch does not. The
        others' rows are computed in vain, and written where they will be written again.
        """
        numbers = torch.arange(count, device=slots.tokens.device)
        rows = range(count * slots.rows_each)
        pairs = slots.rows_each == 2
        columns = {name: getattr(slots.table, name)[:count] for name in _COLUMNS}
        return cls(
            slots=slice(0, count),
            slot_numbers=numbers,
            owners=numbers.repeat_interleave(slots.rows_each),
            told=slice(0, len(rows), slots.rows_each),
            untold=slice(1, len(rows), 2) if pairs else None,
            called=slots.called[:count],
            guided=slots.guided[:count] if pairs else None,
            rows=tuple(rows),
            addresses=cache.addresses(rows),
            table=replace(
                slots.table,
                **columns,
                penalises=True,
                filters=True,
                ranks=True,
                nucleus=True,
                most=0,
            ),
            watched=True,
            places=None,
        )


def _places(numbers: list[int], device: torch.device) -> Places:
    """Indices, as a slice where they are evenly spaced."""
    steps = {b - a for a, b in pairwise(numbers)} or {1}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        return slice(numbers[0], numbers[-1] + 1, step)
    return integers(numbers, device)
