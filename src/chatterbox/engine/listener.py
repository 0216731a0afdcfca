"""Listener: who hears a stream, and when each of its utterances must go on so that no gap opens."""

from collections import deque
from typing import TYPE_CHECKING

from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.playback import PlaybackClock
from chatterbox.speech import Delivery

if TYPE_CHECKING:
    from chatterbox.engine.sequence import Sequence


class Listener:
    """One stream as it will be heard: its utterances one after the other, in real time.

    The utterances of a stream share one listener, which is how the engine knows that the next is
    not wanted before the last has been heard. `unsaid_s` is set by whoever has the text; all else
    belongs to the engine's thread.
    """

    def __init__(self, *, has_heard: bool = False, delivery: Delivery | None = None) -> None:
        """Who `has_heard` something before is in the middle of a conversation."""
        self.delivery = delivery or Delivery()
        self.unsaid_s = 0.0  # of audio, about, in text that the engine does not have yet
        self.has_heard = has_heard
        self.clock = PlaybackClock()
        self.begins_by_s: float | None = None  # while the first sounds are kept back
        self._queue: deque[Sequence] = deque()  # open utterances, in the order of hearing
        self._held_s: dict[Sequence, float] = {}  # rendered before its turn

    @property
    def is_served(self) -> bool:
        """Whether the engine has any of its utterances."""
        return bool(self._queue)

    def joins(self, sequence: "Sequence") -> None:
        """Another utterance, to be heard after those before it."""
        self._queue.append(sequence)

    def is_silent(self, *, now_s: float) -> bool:
        """Whether nothing plays."""
        return self.clock.runs_dry_s is None or self.clock.runs_dry_s <= now_s

    def goes_on(self, sequence: "Sequence") -> bool:
        """Whether an utterance was handed over before the listener had heard all others."""
        runs_dry_s = self.clock.runs_dry_s
        return runs_dry_s is not None and sequence.submitted_s <= runs_dry_s

    def is_first(self, sequence: "Sequence") -> bool:
        """Whether this utterance is the one to be heard."""
        return self._queue[0] is sequence

    def waits_until(self, begins_by_s: float) -> None:
        """The first sounds are kept back, until then at the latest."""
        if self.begins_by_s is None:
            self.begins_by_s = begins_by_s

    def hears(self, sequence: "Sequence", duration_s: float, *, now_s: float) -> None:
        """Audio of an utterance was delivered; it plays when those before it have ended."""
        self._hears(sequence, duration_s / self.delivery.speaking_rate, now_s=now_s)

    def _hears(self, sequence: "Sequence", duration_s: float, *, now_s: float) -> None:
        if self.is_first(sequence):
            self.begins_by_s = None
            self.has_heard = True
            owed_since_s = self._queue[0].submitted_s
            self.clock.delivered(duration_s, now_s=now_s, owed_since_s=owed_since_s)
        else:
            self._held_s[sequence] = self._held_s.get(sequence, 0.0) + duration_s

    def leaves(self, sequence: "Sequence", *, now_s: float) -> None:
        """An utterance is over; what was held of the next is heard now."""
        was_first = self.is_first(sequence)
        self._queue.remove(sequence)
        self._held_s.pop(sequence, None)
        if was_first:
            self.begins_by_s = None
        if was_first and self._queue:
            held_s = self._held_s.pop(self._queue[0], 0.0)
            if held_s:
                self._hears(self._queue[0], held_s, now_s=now_s)

    def awaits(self, sequence: "Sequence", *, now_s: float) -> bool:
        """Whether there is silence until this utterance begins."""
        return self.is_first(sequence) and sequence.is_new and self.is_silent(now_s=now_s)

    def deadline_s(self, sequence: "Sequence") -> float:
        """When the next audio of an utterance must be there: all that precedes it is over then.

        What precedes it and is not drawn yet counts with half of the expected length, so that
        the deadline is rather too early than too late.
        """
        first = self._queue[0]
        deadline_s = max(self.clock.runs_dry_s or 0.0, first.submitted_s, self.begins_by_s or 0.0)
        for earlier in self._queue:
            if earlier is sequence:
                break
            heard = first.voiced_count if earlier is first else 0
            tokens = max(0, earlier.sure_tokens - heard)
            deadline_s += tokens / TOKEN_RATE_HZ / self.delivery.speaking_rate
        if sequence.is_heard:  # what was delivered last is not out yet
            deadline_s -= self.delivery.held_back_s
        return deadline_s + self._held_s.get(sequence, 0.0)
