"""Utterance, Sequence, Phase: what is asked of the engine, and how far it has come."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.engine.listener import Listener
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """The text of one generation and everything that decides how it sounds.

    `sampling.seed` is set. `conditioning` is called on the engine's thread, once, and may
    raise a ChatterboxError, which then fails this utterance alone. The utterances of one stream
    share a `listener`; one that is alone needs none, and gets its own. Nobody listens to what is
    not `awaited`: it is spoken with what others leave of the device. With `marked` its clips come
    with bookmarks, from one of which another engine can go on: that one is given `begun`.
    With `timed` they come with the words that were said, if the family can tell.
    """

    text: str
    family: str
    voice: str
    language: str
    sampling: Sampling
    conditioning: "Callable[[], Conditioning]"
    awaited: bool = True
    listener: Listener | None = None
    marked: bool = False
    timed: bool = False
    begun: "Bookmark | None" = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """How far an utterance was heard: what another engine of the same kind needs to go on."""

    tokens: tuple[int, ...]  # drawn so far, those after what was heard too
    voiced_count: int  # of them, those that were heard
    finish: Finish | None  # None while more are to be drawn
    sound: bytes  # the device's own, see `Device.mark`


@dataclass(eq=False, slots=True, kw_only=True)
class Sequence:
    """An utterance inside the engine. Only the scheduler changes it."""

    utterance: Utterance
    max_tokens: int
    expected_tokens: int = 0  # a guess from the text
    listener: Listener | None = None  # None: nobody listens
    submitted_s: float = 0.0  # on the engine's clock, as all times
    served_s: float = 0.0  # when audio of it was rendered last, or it was submitted
    phase: Phase = Phase.WAITING
    slot: int | None = None
    position_count: int = 0  # of its prefix: voice and text; known once the device admitted it
    read_count: int = 0  # of them, those read so far
    tokens: list[int] = field(default_factory=list)  # speech tokens drawn so far
    settled_count: int = 0  # the most tokens at which it was not repeating itself
    voiced_count: int = 0  # of them, those whose audio was rendered
    chunk_index: int = 0
    is_heard: bool = False  # some of its audio was delivered
    finish: Finish | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it has no slot yet."""
        return self.phase is Phase.WAITING

    @property
    def is_drawn(self) -> bool:
        """Whether no more tokens will come."""
        return self.finish is not None

    @property
    def is_voiced(self) -> bool:
        """Whether all of its audio was rendered."""
        return self.is_drawn and self.voiced_count == len(self.tokens)

    @property
    def is_new(self) -> bool:
        """Whether nothing of it has been rendered yet."""
        return self.chunk_index == 0

    @property
    def deadline_s(self) -> float:
        """When its next chunk should be there."""
        return math.inf if self.listener is None else self.listener.deadline_s(self)

    @property
    def sure_tokens(self) -> int:
        """A length it will have, rather too short than too long."""
        count = len(self.tokens)
        return count if self.is_drawn else max(count, self.expected_tokens // 2)

    @property
    def owed_s(self) -> float:
        """About how much of its audio is still to be made."""
        count = len(self.tokens)
        expected = count if self.is_drawn else max(count, self.expected_tokens)
        return (expected - self.voiced_count) / TOKEN_RATE_HZ

    def repeats(self, length: int) -> bool:
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

    @property
    def token_count(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an utterance ended."""

    token_count: int
    compute_s: float  # its share of the device's time
    finish: Finish
