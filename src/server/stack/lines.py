"""The lines of the stack's processes as one log."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

Write = Callable[[str, str], None]  # a process' name, and a line of it


def as_text(process: str, line: str) -> str:
    """The line with its process before it, for people."""
    return f"{process:<10}| {line}\n"


def as_json(process: str, line: str) -> str:
    """The line as the JSON object that it is, with its process; one that is none becomes an event.

    What is no JSON was written past the logs, by a library or a crash: worth a look.
    """
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        found = {"timestamp": now, "level": "warning", "logger": process, "event": line}
    return json.dumps({"process": process} | found) + "\n"
