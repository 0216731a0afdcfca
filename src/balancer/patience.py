"""Patience: how long a call may be silent, and how long it may last."""

import asyncio
from types import TracebackType
from typing import Self

from chatterbox.errors import CallTooLong, ChatterboxError, SessionIdle


class Patience:
    """While entered, ends the task that entered it by SessionIdle or CallTooLong.

    One timer looks at a clock that `touch` sets: a message costs no more than that.
    """

    def __init__(self, *, idle_timeout_s: float, max_duration_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._max_duration_s = max_duration_s
        self._error: ChatterboxError | None = None

    def touch(self) -> None:
        """A message has passed."""
        self._active_s = self._now_s()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancels_before = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._now_s = self._loop.time
        self._began_s = self._active_s = self._now_s()
        self._timer = self._loop.call_at(self._due_s(), self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._error is None or kind is not asyncio.CancelledError:
            return
        if self._task.uncancel() <= self._cancels_before:  # else somebody else cancelled it too
            raise self._error from None

    def _due_s(self) -> float:
        return min(self._active_s + self._idle_timeout_s, self._began_s + self._max_duration_s)

    def _look(self) -> None:
        now_s = self._now_s()
        if now_s < self._due_s():
            self._timer = self._loop.call_at(self._due_s(), self._look)
            return
        if now_s >= self._began_s + self._max_duration_s:
            self._error = CallTooLong(f"no call may last longer than {self._max_duration_s:g} s")
        else:
            self._error = SessionIdle(f"no message was sent for {self._idle_timeout_s:g} s")
        self._task.cancel()
