"""Which backend takes a call: pure functions over values, with their randomness as an argument."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

BOUND_FACTOR = 1.25  # how far above its fair share a voice may fill the backend it prefers
COLD_SHARE = 0.1  # of its weight, for a backend that has just become eligible


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is known of a call before a backend is chosen."""

    voice: str = ""  # voices/ada, or "" for any
    model: str = ""  # models/tiny, or "" for any
    takes_place: bool = True  # counts against the cap; a list does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One eligible backend at the moment of choice."""

    id: str
    work: float  # streams on it, or what its queued audio amounts to in streams
    capacity: int  # streams that it carries with nobody waiting
    room: int  # streams it may still take
    warmth: float = 1.0  # COLD_SHARE to 1
    resident_voices: frozenset[str] = frozenset()

    @property
    def weight(self) -> float:
        """Its share of the work, relative to the others'."""
        return self.capacity * self.warmth

    @property
    def load_with_one_more(self) -> float:
        """Its work relative to what it can do, had it taken the call."""
        return (self.work + 1) / self.weight


def choose(candidates: Sequence[Candidate], wish: Wish, rng: Random) -> Candidate | None:
    """The backend for a call; None when nobody has room."""
    if wish.takes_place:
        candidates = [candidate for candidate in candidates if candidate.room > 0]
    if not candidates:
        return None
    if wish.voice:
        return preferred(candidates, wish.voice)
    return least_loaded(candidates, rng)


def least_loaded(candidates: Sequence[Candidate], rng: Random) -> Candidate:
    """The emptier of two drawn at random: nearly as even as looking at all, and never a stampede."""
    drawn = rng.sample(candidates, k=min(2, len(candidates)))
    return min(drawn, key=lambda candidate: candidate.load_with_one_more)


def preferred(candidates: Sequence[Candidate], voice: str) -> Candidate:
    """The first in the voice's order that is not above its bounded share of all work.

    Consistent hashing with bounded loads: calls of one voice meet where its conditioning already
    is, but never at the price of a queue there while others stand idle.
    """
    total_work = sum(candidate.work for candidate in candidates) + 1
    total_weight = sum(candidate.weight for candidate in candidates)
    for candidate in sorted(candidates, key=lambda candidate: _rank(candidate, voice)):
        bound = math.ceil(BOUND_FACTOR * total_work * candidate.weight / total_weight)
        if candidate.work + 1 <= bound:
            return candidate
    return min(candidates, key=lambda candidate: candidate.load_with_one_more)


def _rank(candidate: Candidate, voice: str) -> tuple[bool, bytes]:
    """Residents first, then by rendezvous: a backend that comes or goes moves only its own voices."""
    digest = hashlib.blake2b(f"{voice}\0{candidate.id}".encode(), digest_size=8).digest()
    return voice not in candidate.resident_voices, digest


def warmth(eligible_for_s: float, *, slow_start_s: float) -> float:
    """How much of its weight a backend has that became eligible so long ago."""
    if eligible_for_s >= slow_start_s:
        return 1.0
    return max(COLD_SHARE, eligible_for_s / slow_start_s)
