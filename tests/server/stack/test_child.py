"""A process that is kept running: restarted, given up, stopped, killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import structlog

from chatterbox.errors import ConfigError, EngineStopped
from server.stack import child as child_module
from server.stack.child import Child

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    yield
    structlog.reset_defaults()


class Written(list[str]):
    """The lines of a child."""

    def write(self, process: str, line: str) -> None:
        assert process == "it"
        self.append(line)


def python(code: str, written: Written | None = None, **options: Any) -> Child:
    lines = Written() if written is None else written
    return Child(
        "it", [sys.executable, "-c", code], write=lines.write, restart_delay_s=0.01, **options
    )


@asynccontextmanager
async def kept(child: Child) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(child.keep_running())
    try:
        yield task
    finally:
        child.kill()
        with suppress(ConfigError, EngineStopped):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


async def test_one_that_dies_is_started_again() -> None:
    child = python(SLEEP)
    async with kept(child):
        await until(lambda: child.pid is not None)
        before = child.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: child.pid not in (None, before))


async def test_one_that_keeps_failing_is_given_up_with_its_last_words() -> None:
    child = python("import sys; sys.exit('no luck')")
    with pytest.raises(EngineStopped, match=r"it ended 5 times in a row: no luck"):
        await child.keep_running()


async def test_one_whose_settings_are_wrong_is_not_tried_twice() -> None:
    written = Written()
    child = python("import sys; print('--x is wrong', file=sys.stderr); sys.exit(2)", written)
    with pytest.raises(ConfigError, match="it cannot start: --x is wrong"):
        await child.keep_running()
    assert written == ["--x is wrong"]


async def test_one_that_is_stopped_is_not_started_again() -> None:
    child = python(SLEEP)
    async with kept(child) as task:
        await until(lambda: child.pid is not None)
        await child.stop(timeout_s=5)
        await task
        assert child.pid is None


async def test_one_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "KILL_S", 0.1)
    written = Written()
    child = python(STUBBORN, written, shows_output=True)
    async with kept(child) as task:
        await until(lambda: bool(written))
        await child.stop(timeout_s=0.1)
        await task
        assert child.pid is None


async def test_output_is_shown_only_where_it_is_wanted() -> None:
    code = "import sys; print('said'); print('logged', file=sys.stderr); sys.exit(2)"
    for shows_output, wanted in ((False, {"logged"}), (True, {"said", "logged"})):
        written = Written()
        with pytest.raises(ConfigError):
            await python(code, written, shows_output=shows_output).keep_running()
        assert set(written) == wanted


async def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    written = Written()
    code = (
        "import sys; sys.stderr.write('x' * 5_000_000 + chr(10) + 'after' + chr(10)); sys.exit(2)"
    )
    with pytest.raises(ConfigError, match="after"):
        await python(code, written).keep_running()
    assert max(map(len, written)) <= child_module.MAX_LINE_BYTES + 20


@pytest.mark.skipif(sys.platform != "linux", reason="a signal at the parent's death is Linux's")
async def test_nobody_outlives_a_supervisor_that_is_killed() -> None:
    code = f"""
import asyncio, sys
from server.stack.child import Child
child = Child("it", [sys.executable, "-c", {SLEEP!r}], write=print)
async def main():
    task = asyncio.create_task(child.keep_running())
    while child.pid is None:
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await task
asyncio.run(main())
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    lines = [(await supervisor.stdout.readline()).decode() for _ in range(2)]
    pid = int(next(line for line in lines if line.strip().isdecimal()))
    supervisor.kill()
    await supervisor.wait()

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await until(is_gone)
