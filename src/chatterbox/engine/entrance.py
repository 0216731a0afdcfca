"""Entrance: counts who is inside, so that the engine can refuse at once, with a time to try again."""

import threading
from dataclasses import dataclass

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.listener import Listener
from chatterbox.engine.sequence import Sequence
from chatterbox.errors import Overloaded

MAX_OPEN = 2  # utterances of one stream: the one being heard and the next
LEAST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the device will have room, as the engine's thread foresees it."""

    free_streams: int | None = None  # how many more it carries in real time; None: no limit
    departures_s: tuple[float, ...] = ()  # from now, when each stream of today will need no more

    def wait_s(self, place: int) -> float:
        """How long the newcomer at this place of the queue, from 0, will wait."""
        if self.free_streams is None or place < self.free_streams or not self.departures_s:
            return 0.0
        # Places beyond today's streams are freed by those who come in the meantime.
        rounds, place = divmod(place - max(0, self.free_streams), len(self.departures_s))
        return rounds * self.departures_s[-1] + self.departures_s[place]


class Entrance:
    """Everyone between `submit` and the end of their utterance. May be used from any thread."""

    def __init__(self, config: EngineConfig) -> None:
        self.forecast = Forecast()  # replaced by the engine's thread
        self._config = config
        self._changed = threading.Condition()
        self._open: dict[Listener | Sequence, int] = {}  # utterances of each stream
        self._newcomers: set[Listener] = set()  # of whose streams nothing runs yet
        self._count = 0

    @property
    def open_count(self) -> int:
        """Utterances inside."""
        return self._count

    def enter(self, sequence: Sequence) -> None:
        """Let an utterance in. Raises Overloaded if it cannot be spoken soon."""
        stream = sequence.listener or sequence
        with self._changed:
            if stream in self._open:
                if self._open[stream] >= MAX_OPEN:
                    raise Overloaded("the utterances before this one are still being spoken")
            else:
                self._check_newcomer(sequence.listener)
                if sequence.listener is not None:
                    self._newcomers.add(sequence.listener)
            self._open[stream] = self._open.get(stream, 0) + 1
            self._count += 1

    def _check_newcomer(self, listener: Listener | None) -> None:
        forecast = self.forecast
        if len(self._open) >= self._config.capacity:
            retry_s = forecast.departures_s[0] if forecast.departures_s else 0.0
            raise Overloaded(
                f"{len(self._open)} streams are already being spoken or waiting",
                retry_after_s=max(LEAST_RETRY_S, retry_s),
            )
        if listener is None or listener.has_heard:
            return  # patient, or in the middle of a conversation
        wait_s = forecast.wait_s(len(self._newcomers))
        if wait_s > self._config.max_wait_s:
            raise Overloaded(
                f"speech would begin after {wait_s:.0f} s only",
                retry_after_s=max(LEAST_RETRY_S, wait_s - self._config.max_wait_s),
            )

    def begins(self, sequence: Sequence) -> None:
        """An utterance waits no more: it runs now."""
        with self._changed:
            if sequence.listener is not None:
                self._newcomers.discard(sequence.listener)

    def leave(self, sequence: Sequence) -> None:
        """An utterance is over, or was given up."""
        stream = sequence.listener or sequence
        with self._changed:
            self._count -= 1
            self._open[stream] -= 1
            assert self._open[stream] >= 0, "every utterance leaves once"
            if self._open[stream] == 0:
                del self._open[stream]
                if sequence.listener is not None:
                    self._newcomers.discard(sequence.listener)
            self._changed.notify_all()

    def wait_until_empty(self, *, timeout_s: float) -> bool:
        """Block until nobody is inside; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout_s)
