"""Errands: work beside speaking that needs the models, such as hearing a voice for the first time.

It is done on the device's one thread, piece by piece between two steps, when nobody would miss the
time: nobody speaks, or everybody who listens has enough to hear. After a while it goes on anyway.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from chatterbox.errors import ChatterboxError, EngineStopped, Overloaded

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models

MAX_ERRANDS = 16  # waiting or begun; more are refused
PATIENCE_S = 0.5  # after which the next piece is done, whoever is in a hurry
_UNKNOWN_PIECE_S = 0.25
_FORGOTTEN = 0.9  # what is left of the longest piece after another one

Work = Callable[["Models"], Generator[None, None, Any]]


class Errand:
    """One piece of work and who waits for it."""

    def __init__(self, family: str, work: Work) -> None:
        self.family = family
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._work = work
        self._running: Generator[None, None, Any] | None = None

    def advance(self, models: "Models | None") -> bool:
        """Do the next piece; returns whether that was the last."""
        try:
            if models is None:
                self._settle(None)
                return True
            if self._running is None:
                self._running = self._work(models)
            next(self._running)
        except StopIteration as end:
            self._settle(end.value)
            return True
        except Exception as error:
            self.fail(error)
            return True
        return False

    def fail(self, error: Exception) -> None:
        """End it with an error."""
        self._post(lambda: self.result.set_exception(error))

    def _settle(self, value: Any) -> None:
        self._post(lambda: self.result.set_result(value))

    def _post(self, settle: Callable[[], None]) -> None:
        def settle_if_awaited() -> None:
            if not self.result.done():  # whoever waited may have left
                settle()

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.result.get_loop().call_soon_threadsafe(settle_if_awaited)


class Errands:
    """The errands of one device, done in the order in which they came."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._queue: deque[Errand] = deque()
        self._lock = threading.Lock()
        self._is_closed = False
        self._waits_since_s = 0.0
        self.piece_s = _UNKNOWN_PIECE_S  # that the next piece may well take

    @property
    def is_empty(self) -> bool:
        return not self._queue

    def add(self, errand: Errand) -> None:
        """Queue an errand, from any thread; raises Overloaded or EngineStopped."""
        with self._lock:
            if self._is_closed:
                raise EngineStopped("the engine has stopped")
            if len(self._queue) >= MAX_ERRANDS:
                raise Overloaded(f"{MAX_ERRANDS} recordings wait for the device already")
            if not self._queue:
                self._waits_since_s = self._clock()
            self._queue.append(errand)

    def step(self, models: "Callable[[str], Models | None]", *, is_convenient: bool) -> None:
        """Do one piece, if there is any and it is convenient or overdue."""
        if self.is_empty:
            return
        if not is_convenient and self._clock() - self._waits_since_s < PATIENCE_S:
            return
        errand, began_s = self._queue[0], self._clock()
        # Whoever waited may have left; then nothing of it is done any more.
        is_over = errand.result.cancelled() or errand.advance(models(errand.family))
        with self._lock:
            if is_over:
                self._queue.popleft()
            self._waits_since_s = self._clock()
            self.piece_s = max(self._waits_since_s - began_s, _FORGOTTEN * self.piece_s)

    def fail_all(self, error: ChatterboxError) -> None:
        """End what is left with an error and take no more."""
        with self._lock:
            self._is_closed = True
            left, self._queue = list(self._queue), deque()
        for errand in left:
            errand.fail(error)
