"""Sampler: scores of the next token into a drawn token, a batch of rows at a time.

Every row has its own settings, as columns of a `SamplingTable`, and its own random numbers: what
a row draws depends on its scores, its seed and its position, never on who is decoded beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.speech import Sampling

_GOLDEN = -7046029254386353131  # 2**64 / golden ratio, odd, as a signed 64-bit number
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTable:
    """The settings of a batch, one row per sequence; built when the batch changes."""

    cfg_weight: Tensor  # (rows, 1) float32, as all but top_k and greedy
    temperature: Tensor  # 1 where greedy
    greedy: Tensor  # (rows, 1) bool: only the likeliest token
    top_k: Tensor  # (rows, 1) int64, at least 1, the vocabulary where off
    min_p: Tensor
    tail: Tensor  # 1 - top_p: the probability that top-p may cut off
    repetition_penalty: Tensor
    penalty_last: bool  # Turbo and Nano penalise what the filters left; the others before
    filters: bool  # whether any row uses top-k, min-p or top-p

    @classmethod
    def of(
        cls,
        rows: Sequence[Sampling],
        *,
        vocabulary: int,
        penalty_last: bool,
        device: torch.device | str = "cpu",
    ) -> "SamplingTable":
        """The table of settings in which nothing is None (see `Family.settle`)."""

        def column(values: list[float], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)[:, None]

        top_p = [_given(row.top_p) for row in rows]
        min_p = [_given(row.min_p) for row in rows]
        temperature = [_given(row.temperature) for row in rows]
        top_k = [min(int(_given(row.top_k)) or vocabulary, vocabulary) for row in rows]
        return cls(
            cfg_weight=column([_given(row.cfg_weight) for row in rows]),
            temperature=column([value or 1.0 for value in temperature]),
            greedy=column([value == 0.0 for value in temperature], torch.bool),
            top_k=column(list(top_k), torch.int64),
            min_p=column(min_p),
            tail=column([1.0 - value for value in top_p]),
            repetition_penalty=column([_given(row.repetition_penalty) for row in rows]),
            penalty_last=penalty_last,
            filters=min(top_p) < 1.0 or max(min_p) > 0.0 or min(top_k) < vocabulary,
        )


def _given(value: float | None) -> float:
    assert value is not None, "the family's defaults were not filled in"
    return value


class History:
    """Which tokens each slot has drawn, for the repetition penalty. Written in place."""

    def __init__(
        self,
        *,
        slots: int,
        vocabulary: int,
        start: int,
        keeps_start: bool,
        device: torch.device | str = "cpu",
    ) -> None:
        """The start token counts as drawn: for good, or for the first draw only."""
        self.seen = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)
        self._fresh = torch.zeros(slots, dtype=torch.bool, device=device)
        self._start = start
        self._keeps_start = keeps_start

    def begin(self, slot: int) -> None:
        """Forget what the slot's last sequence drew."""
        self.seen[slot] = False
        self.seen[slot, self._start] = True
        self._fresh[slot] = True

    def add(self, slots: Tensor, tokens: Tensor) -> None:
        """Note that each of `slots` (rows,) drew its token of `tokens` (rows,)."""
        if not self._keeps_start:
            self.seen[slots, self._start] &= ~self._fresh[slots]
        self.seen[slots, tokens] = True
        self._fresh[slots] = False


def guide(told: Tensor, untold: Tensor, table: SamplingTable) -> Tensor:
    """Classifier-free guidance: away from what is said without knowing the text.

    (rows, vocabulary) twice -> (rows, vocabulary). J. Ho and T. Salimans, 2022, with the weight
    counted from 0: at 0 the result is `told`.
    """
    return told + table.cfg_weight * (told - untold)


def process(logits: Tensor, seen: Tensor, table: SamplingTable) -> Tensor:
    """(rows, vocabulary) scores and drawn-before flags -> probabilities, float32."""
    scores = logits.float()
    if not table.penalty_last:
        scores = _penalise(scores, seen, table)
    best = scores.argmax(-1, keepdim=True)
    scores = scores / table.temperature
    places = torch.arange(scores.shape[-1], device=scores.device)
    scores = scores.masked_fill(table.greedy & (places != best), float("-inf"))
    if table.filters:
        scores = _filter(scores, table)
    if table.penalty_last:
        scores = _penalise(scores, seen, table)
    return torch.softmax(scores, dim=-1)


def _penalise(scores: Tensor, seen: Tensor, table: SamplingTable) -> Tensor:
    """Make drawn tokens less likely, once however often drawn (N. Keskar et al., CTRL, 2019)."""
    penalty = table.repetition_penalty
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, lowered, scores)


def _filter(scores: Tensor, table: SamplingTable) -> Tensor:
    """Top-k, then min-p, then top-p. The likeliest token always stays.

    All three cut off a tail of the sorted scores, so one sort serves them.
    """
    ordered, order = scores.sort(dim=-1)  # rising
    kth = ordered.gather(-1, ordered.shape[-1] - table.top_k)
    ordered = ordered.masked_fill(ordered < kth, float("-inf"))
    shares = ordered.softmax(-1)
    ordered = ordered.masked_fill(shares < table.min_p * shares[:, -1:], float("-inf"))
    cut = ordered.softmax(-1).cumsum(-1) <= table.tail
    cut[:, -1] = False
    ordered = ordered.masked_fill(cut, float("-inf"))
    return torch.empty_like(scores).scatter_(-1, order, ordered)


def draw(probabilities: Tensor, seeds: Tensor, positions: Tensor) -> Tensor:
    """One token per row: (rows, vocabulary) -> (rows,).

    Each token's clock rings after an exponential time at a rate of its probability, and the
    first to ring is drawn. Unlike a walk along the summed probabilities, a last-bit difference
    in one of them (another batch, another device) moves only a draw that is a near tie.
    """
    waits = -torch.log(uniform(seeds, positions, probabilities.shape[-1]))
    return (probabilities.double() / waits).argmax(-1)


def uniform(seeds: Tensor, positions: Tensor, count: int) -> Tensor:
    """`count` numbers in (0, 1) that depend on seed and position alone: (rows, count) float64.

    SplitMix64 (G. Steele et al., 2014) counting from a state that is itself the mixture of
    `seeds` and `positions`, both (rows,) int64. Integers wrap, so every device agrees.
    """
    state = _mix(_mix(seeds) + positions * _GOLDEN)
    counter = torch.arange(1, count + 1, dtype=torch.int64, device=seeds.device)
    bits = _shift(_mix(state[:, None] + counter * _GOLDEN), 12)
    return (bits.double() + 0.5) * 2.0**-52  # 53 bits: the largest is still below 1


def _mix(x: Tensor) -> Tensor:
    """Every bit of the result depends on every bit of x."""
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """To the right, filling with zeros; torch would repeat the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
