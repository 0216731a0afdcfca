"""Tasks that nobody waits for: when one meets a bug, the log says so at once."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from chatterbox.errors import ChatterboxError

log = structlog.get_logger(__name__)


def begin(work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
    """Start it; whoever began it cancels it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


@asynccontextmanager
async def running(
    work: Coroutine[Any, Any, None], *, name: str
) -> AsyncIterator["asyncio.Task[None]"]:
    """Let it run until the context is left."""
    task = begin(work, name=name)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})


def _tell(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ChatterboxError):
        log.error("a task has failed", task=task.get_name(), exc_info=error)
