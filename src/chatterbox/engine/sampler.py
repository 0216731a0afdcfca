"""Sampler: scores of the next token into a drawn token, a batch of rows at a time.

Every row has its own settings, as columns of a `SamplingTable`, and its own random numbers: what
a row draws depends on its scores, its seed and its position, never on who is decoded beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chatterbox.models.transfer import to_device
from chatterbox.speech import Sampling

_GOLDEN = -7046029254386353131  # 2**64 / golden ratio, odd, as a signed 64-bit number
_MIX_1 = -4658895280553007687
_MIX_2 = -7723592293110705685

_LOG2_E = math.log2(math.e)
_FEW = 64  # candidates tried first; to find them takes a thirtieth of sorting the vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTable:
    """The settings of a batch, a row per sequence: columns (rows, 1), and what all have in common.

    The flags only save work: where they are True without need, the result is the same.
    """

    cfg_weight: Tensor  # float32, as all but top_k and greedy
    temperature: Tensor  # 1 where greedy
    greedy: Tensor  # bool: only the likeliest token
    top_k: Tensor  # int64, at least 1, the vocabulary where off
    floor: Tensor  # log(min_p): how far below the likeliest a token may lie
    top_p: Tensor  # infinity where off: a sum of shares may round to all of them too soon
    repetition_penalty: Tensor
    penalty_last: bool  # Turbo and Nano penalise what the filters left; the others before
    penalises: bool  # whether any row has a repetition penalty
    filters: bool  # whether any row uses temperature 0, top-k, min-p or top-p
    ranks: bool  # whether any uses those of them that go by rank: all but min-p
    nucleus: bool  # whether any uses top-p
    most: int  # the largest top-k in use, 0 for none

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
            return to_device(torch.tensor(values, dtype=dtype), torch.device(device))[:, None]

        top_p = [_given(row.top_p) for row in rows]
        min_p = [_given(row.min_p) for row in rows]
        temperature = [_given(row.temperature) for row in rows]
        top_k = [min(int(_given(row.top_k)) or vocabulary, vocabulary) for row in rows]
        penalty = [_given(row.repetition_penalty) for row in rows]
        limits = [k for k in top_k if k < vocabulary]
        nucleus = min(top_p) < 1.0
        ranks = bool(limits) or nucleus or min(temperature) == 0.0
        return cls(
            cfg_weight=column([_given(row.cfg_weight) for row in rows]),
            temperature=column([value or 1.0 for value in temperature]),
            greedy=column([value == 0.0 for value in temperature], torch.bool),
            top_k=column(list(top_k), torch.int64),
            floor=column(min_p).log(),
            top_p=column([value if value < 1.0 else math.inf for value in top_p]),
            repetition_penalty=column(penalty),
            penalty_last=penalty_last,
            penalises=max(penalty) > 1.0,
            filters=ranks or max(min_p) > 0.0,
            ranks=ranks,
            nucleus=nucleus,
            most=max(limits, default=0),
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
        self.fresh = torch.zeros(slots, dtype=torch.bool, device=device)  # nothing drawn yet
        self.start = start
        self.keeps_start = keeps_start

    def begin(self, slot: int) -> None:
        """Forget what the slot's last sequence drew."""
        self.seen[slot] = False
        self.seen[slot, self.start] = True
        self.fresh[slot] = True

    def resume(self, slot: int, tokens: Tensor) -> None:
        """Begin with what a sequence drew elsewhere, (n,) of at least one."""
        self.seen[slot] = False
        self.seen[slot, self.start] = self.keeps_start
        self.seen[slot, tokens] = True
        self.fresh[slot] = False

    def add(self, slots: Tensor, tokens: Tensor, live: Tensor | None = None) -> None:
        """Note that each of `slots` (rows,) drew its token of `tokens` (rows,), if it is live."""
        if not self.keeps_start:
            started = self.fresh[slots] if live is None else self.fresh[slots] & live
            self.seen[slots, self.start] &= ~started
            self.fresh[slots] &= ~started
        self.seen[slots, tokens] = True if live is None else self.seen[slots, tokens] | live


def guide(told: Tensor, untold: Tensor, table: SamplingTable) -> Tensor:
    """Classifier-free guidance: away from what is said without knowing the text.

    (rows, vocabulary) twice -> (rows, vocabulary). J. Ho and T. Salimans, 2022, with the weight
    counted from 0: at 0 the result is `told`.
    """
    return torch.addcmul(told, table.cfg_weight, told - untold)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The tokens that may be drawn: scores, up to a constant the logarithms of probabilities."""

    scores: Tensor  # (rows, n) float32, minus infinity where a filter cut
    tokens: Tensor  # (rows, n) int64


def shortlist(
    logits: Tensor, seen: Tensor, table: SamplingTable, *, narrow: bool = False
) -> Candidates:
    """(rows, vocabulary) scores and drawn-before flags -> what the settings leave of them.

    `narrow` finds the same while looking at no more of the likeliest tokens than it must. It
    asks the data whether that was enough, so it is not for a GPU, which sorts in no time.
    """
    scores = logits.float()
    if table.penalises and not table.penalty_last:
        scores = _penalise(scores, seen, table)
    vocabulary = scores.shape[-1]
    count = vocabulary
    if narrow and table.filters:
        count = min(max(_FEW, table.most), vocabulary)
    while True:
        likely, tokens = _likeliest(scores, count, falling=table.ranks)
        scaled = likely / table.temperature
        kept = _filter(scaled, scores, table)
        enough = count == vocabulary or bool(((table.top_k <= count) | ~kept[:, -1:]).all())
        if enough:
            break
        count = vocabulary
    if table.penalises and table.penalty_last:
        scaled = _penalise(scaled, seen.gather(-1, tokens), table)
    return Candidates(scaled.masked_fill(~kept, float("-inf")), tokens)


def _likeliest(scores: Tensor, count: int, *, falling: bool) -> tuple[Tensor, Tensor]:
    """The `count` highest scores and their tokens, falling if asked so or if not all."""
    if count < scores.shape[-1]:
        likely, tokens = scores.topk(count, dim=-1)
        return likely, tokens
    if falling:
        likely, tokens = scores.sort(dim=-1, descending=True, stable=True)
        return likely, tokens
    return scores, torch.arange(count, device=scores.device).expand_as(scores)


def _filter(scaled: Tensor, scores: Tensor, table: SamplingTable) -> Tensor:
    """Top-k, then min-p, then top-p of falling scores: True for what stays, the first always.

    `scores` are those of all tokens, before the temperature.
    """
    ranks = torch.arange(scaled.shape[-1], device=scaled.device)
    best = scaled.amax(-1, keepdim=True)
    kept = (ranks < table.top_k) & (scaled - best >= table.floor)
    kept &= (ranks == 0) | ~table.greedy
    if table.nucleus:
        shares = torch.where(kept, _exponential(scaled - best), 0.0).double()
        total = shares.sum(-1, keepdim=True)
        if scaled.shape[-1] < scores.shape[-1]:
            total = torch.where(table.top_k <= scaled.shape[-1], total, _mass(scores, best, table))
        kept &= shares.cumsum(-1) - shares < table.top_p * total
    return kept


def _mass(scores: Tensor, best: Tensor, table: SamplingTable) -> Tensor:
    """What all tokens above the floor weigh, where the best weighs 1: (rows, 1) float64."""
    below = scores / table.temperature - best
    weights = torch.where(below >= table.floor, _exponential(below), 0.0)
    return weights.double().sum(-1, keepdim=True)


def _exponential(x: Tensor) -> Tensor:
    """e to the power of x; torch's own `exp` takes over ten times as long for a vocabulary on a CPU."""
    return torch.exp2(x * _LOG2_E)


def _penalise(scores: Tensor, seen: Tensor, table: SamplingTable) -> Tensor:
    """Make drawn tokens less likely, once however often drawn (N. Keskar et al., CTRL, 2019)."""
    penalty = table.repetition_penalty
    lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, lowered, scores)


def process(logits: Tensor, seen: Tensor, table: SamplingTable) -> Tensor:
    """(rows, vocabulary) scores and drawn-before flags -> probabilities, float32."""
    candidates = shortlist(logits, seen, table)
    shares = candidates.scores.softmax(-1)
    return torch.zeros_like(shares).scatter_(-1, candidates.tokens, shares)


def draw(candidates: Candidates, seeds: Tensor, positions: Tensor) -> Tensor:
    """One token per row: (rows,).

    Each token's clock rings after an exponential time at a rate of its probability, and the
    first to ring is drawn. Unlike a walk along the summed probabilities, a last-bit difference
    in one of them (another batch, another device) moves only a draw that is a near tie; and
    nothing depends on how many candidates there are or in what order.
    """
    waits = -torch.log(uniform_at(seeds, positions, candidates.tokens))
    winners = (candidates.scores.double() - waits.log()).argmax(-1, keepdim=True)
    return candidates.tokens.gather(-1, winners)[:, 0]


def uniform(seeds: Tensor, positions: Tensor, count: int) -> Tensor:
    """`count` numbers in (0, 1) that depend on seed and position alone: (rows, count) float64."""
    return uniform_at(seeds, positions, torch.arange(count, device=seeds.device)[None])


def uniform_at(seeds: Tensor, positions: Tensor, indices: Tensor) -> Tensor:
    """The numbers of `uniform` at some indices: (rows, n) -> (rows, n) float64.

    SplitMix64 (G. Steele et al., 2014) counting from a state that is itself the mixture of
    `seeds` and `positions`, both (rows,) int64. Integers wrap, so every device agrees.
    """
    state = _mix(_mix(seeds) + positions * _GOLDEN)
    bits = _shift(_mix(state[:, None] + (indices + 1) * _GOLDEN), 12)
    return (bits.double() + 0.5) * 2.0**-52  # 53 bits: the largest is still below 1


def _mix(x: Tensor) -> Tensor:
    """Every bit of the result depends on every bit of x."""
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """To the right, filling with zeros; torch would repeat the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
