"""Utterance, Sequence, Phase: what is asked of the engine, and how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """The text of one generation and everything that decides how it sounds.

    `sampling.seed` is set. `conditioning` is called on the engine's thread, once, and may
    raise a ChatterboxError, which then fails this utterance alone.
    """

    text: str
    family: str
    voice: str
    language: str
    sampling: Sampling
    conditioning: "Callable[[], Conditioning]"
    awaited: bool = True  # a listener waits for its first sound; False when others play before it


class Phase(Enum):
    """Where a sequence is in its life."""

    WAITING = auto()  # accepted, without a slot
    READING = auto()  # in a slot, its text and voice being read
    SPEAKING = auto()  # in a slot, tokens being drawn
    VOICING = auto()  # all tokens drawn, slot free again, audio still to be rendered
    DONE = auto()


class Finish(Enum):
    """Why no more tokens were drawn."""

    STOPPED = "stopped"  # the model said so: the normal end
    TOO_LONG = "too_long"  # it reached the most tokens its text can need
    STUCK = "stuck"  # it repeated itself
    CANCELLED = "cancelled"


@dataclass(eq=False, slots=True, kw_only=True)
class Sequence:
    """An utterance inside the engine. Only the scheduler changes it."""

    utterance: Utterance
    max_tokens: int
    phase: Phase = Phase.WAITING
    slot: int | None = None
    position_count: int = 0  # of its prefix: voice and text; known once the device admitted it
    read_count: int = 0  # of them, those read so far
    tokens: list[int] = field(default_factory=list)  # speech tokens drawn so far
    voiced_count: int = 0  # of them, those whose audio was rendered
    chunk_index: int = 0
    finish: Finish | None = None
    deadline_s: float = 0.0  # when its next chunk should be there, on the engine's clock

    @property
    def is_drawn(self) -> bool:
        """Whether no more tokens will come."""
        return self.finish is not None

    @property
    def is_new(self) -> bool:
        """Whether nothing of it has been rendered yet."""
        return self.chunk_index == 0

    def is_stuck(self, length: int) -> bool:
        """Whether its last `length` tokens are one pattern of at most eight, repeated."""
        tail = self.tokens[-length:]
        if len(tail) < length:
            return False
        return any(
            tail[period:] == tail[:-period]
            for period in range(1, 9)
            if tail[-1] == tail[-1 - period]
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one sequence's tokens to be rendered next: `tokens[start:end]`.

    Up to the engine's look-ahead of further tokens may be consulted, no more, so that the
    result does not depend on how far decoding happens to be.
    """

    sequence: Sequence
    start: int
    end: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an utterance ended."""

    token_count: int
    compute_s: float  # its share of the device's time
    finish: Finish
