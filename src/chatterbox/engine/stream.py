"""SpeechStream: the async side of one sequence."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from chatterbox.audio.clip import Clip
from chatterbox.engine.sequence import Bookmark, Outcome
from chatterbox.errors import ChatterboxError
from chatterbox.speech import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A clip, and what was asked for with it."""

    clip: Clip
    bookmark: Bookmark | None = None  # behind it
    words: tuple[Word, ...] = ()  # that it is known by now to hold


class SpeechStream:
    """The clips of one utterance as they are rendered; iterate it once, on its own loop.

    The engine's thread calls `deliver`, `finish` and `fail`; everything else belongs to the
    event loop on which the stream was made. An utterance is at most `max_speech_tokens` long,
    which bounds what can lie here unread. Leaving early (`cancel`, `aclose`, the `async with`)
    tells the engine exactly once; after that iteration ends and what was unread is gone.
    """

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        self.outcome: Outcome | None = None  # set before iteration ends normally
        self.latest: Rendered | None = None  # the clip given last, with what belongs to it
        self._loop = asyncio.get_running_loop()
        self._on_cancel: Callable[[], None] | None = on_cancel
        self._clips: deque[Rendered] = deque()
        self._error: ChatterboxError | None = None
        self._is_over = False
        self._changed = asyncio.Event()

    # From the engine's thread.

    def deliver(self, rendered: "Rendered") -> None:
        """Hand over the next clip."""
        self._post(lambda: self._clips.append(rendered))

    def finish(self, outcome: Outcome) -> None:
        """Say that all clips have been delivered."""
        self._post(lambda: self._end(outcome, None))

    def fail(self, error: ChatterboxError) -> None:
        """Say that no more will come, because of `error`."""
        self._post(lambda: self._end(None, error))

    def _post(self, change: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._apply, change)
        except RuntimeError:  # the loop is closed: nobody is left to listen
            self.cancel()

    # On the event loop.

    def _apply(self, change: Callable[[], None]) -> None:
        if self._is_over:
            return
        change()
        self._changed.set()

    def _end(self, outcome: Outcome | None, error: ChatterboxError | None) -> None:
        self.outcome, self._error = outcome, error
        self._is_over = True
        self._on_cancel = None  # the engine has let go of it already

    def cancel(self) -> None:
        """Drop what is unread and free the engine's slot; harmless when already over."""
        on_cancel, self._on_cancel = self._on_cancel, None
        self._is_over = True
        self._clips.clear()
        self._error = None
        if on_cancel is not None:
            on_cancel()
        if not self._loop.is_closed():
            self._changed.set()

    async def aclose(self) -> None:
        """As `cancel`; lets a stream be used with `contextlib.aclosing`."""
        self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Clip:
        while True:
            if self._clips:
                self.latest = self._clips.popleft()
                return self.latest.clip
            if self._error is not None:
                raise self._error
            if self._is_over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
