"""How the comparison talks with its workers: a line of JSON each way, one piece of work at a time.

Only the standard library, so that a worker may run in any environment.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Both sides run with these: spinning OpenMP threads collapse on a busy machine, and sleeping at
# once costs each small operation a wake-up (docs/experiments.md).
ENVIRONMENT = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000", "TQDM_DISABLE": "1"}


class WorkerFailed(Exception):
    """What a worker raised, or that it died; with the end of what it wrote."""


class Worker:
    """A process that does what it is told and is idle in between."""

    def __init__(self, python: Path, script: Path, *, threads: int) -> None:
        environment = os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}
        environment.pop("PYTHONPATH", None)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed on exit)
        self._process = subprocess.Popen(
            [python, "-W", "ignore", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
        )

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have something done and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"{what}: the worker died\n{self._end_of_log()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerFailed(f"{what}: {reply['error']}")
        return reply

    def _end_of_log(self) -> str:
        self._log.seek(0)
        return self._log.read()[-3000:].decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


def serve(doer: object) -> None:
    """The worker's side: `doer` has a method for everything that may be asked; until nobody asks."""
    # What the libraries print must not come between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(doer, request["what"])(**request["arguments"])
        except Exception:
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
