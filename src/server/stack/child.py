"""Child: one process, started again when it ends."""

import asyncio
import contextlib
import ctypes
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence

import structlog

from chatterbox.errors import ConfigError, EngineStopped
from server.stack.lines import Write

STEADY_S = 30.0  # a process that lasted so long had not failed to start
MAX_FAILURES = 5  # in a row
RESTART_DELAY_S, MAX_DELAY_S = 0.5, 8.0  # doubles with every failure
USAGE_EXIT = 2  # of our own programs, when their settings cannot work
KILL_S = 5.0  # beyond what it was given to end by itself
MAX_LINE_BYTES = 256 * 1024
PR_SET_PDEATHSIG = 1  # of Linux's prctl

log = structlog.get_logger(__name__)


class Child:
    """A command that is kept running. Its lines go to `write`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        write: Write,
        shows_output: bool = False,
        restart_delay_s: float = RESTART_DELAY_S,
    ) -> None:
        """`shows_output`: its standard output is worth reading, too, and not its errors alone."""
        self.name = name
        self._shows_output = shows_output
        self._restart_delay_s = restart_delay_s
        self._command = command
        self._write = write
        self._process: Process | None = None
        self._is_stopping = False
        self._last_line = ""

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep_running(self) -> None:
        """Until `stop`. Raises ConfigError when its settings cannot work, EngineStopped when it
        fails again and again."""
        failures = 0
        while not self._is_stopping:
            began_s = time.monotonic()
            code = await self._run()
            if self._is_stopping:
                return
            if code == USAGE_EXIT:
                raise ConfigError(f"{self.name} cannot start: {self._last_line}")
            failures = 1 if time.monotonic() - began_s > STEADY_S else failures + 1
            if failures >= MAX_FAILURES:
                raise EngineStopped(
                    f"{self.name} ended {failures} times in a row: {self._last_line}"
                )
            delay_s = min(self._restart_delay_s * 2 ** (failures - 1), MAX_DELAY_S)
            log.warning("a process ended", name=self.name, code=code, restart_in_s=delay_s)
            await asyncio.sleep(delay_s)

    async def stop(self, *, timeout_s: float) -> None:
        """Ask it to end, and make it when it has not after `timeout_s` and a little."""
        self._is_stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(timeout_s + KILL_S):
                await process.wait()
        except TimeoutError:
            log.warning("a process does not end and is killed", name=self.name)
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End it at once, and do not start it again."""
        self._is_stopping = True
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _run(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=DEVNULL,
            stdout=PIPE if self._shows_output else DEVNULL,
            stderr=STDOUT if self._shows_output else PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for us, who stop them in order
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._process = process
        log.info("a process began", name=self.name, pid=process.pid)
        lines = process.stdout or process.stderr
        assert lines is not None
        await self._copy(lines)
        return await process.wait()

    async def _copy(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # too long for a line, and dropped
                continue
            if not line:
                return
            self._last_line = line.decode(errors="replace").rstrip()
            self._write(self.name, self._last_line)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Runs in the child before its program: a supervisor that is killed leaves nobody behind."""
    assert _LIBC is not None
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
