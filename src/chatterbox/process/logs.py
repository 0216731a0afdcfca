"""Structured logs on standard error: one line per event, as JSON or for people.

The id of the request being served, and of its trace if it has one, is added to every line logged
while serving it, whoever logs: our own code through structlog, libraries through the standard
`logging`. What clients say and their credentials are in no line: not even the values of variables
in a traceback are.
"""

import logging
import sys
from typing import Literal, TextIO

import structlog

LogFormat = Literal["auto", "json", "console"]


def configure_logs(
    *, level: str = "INFO", log_format: LogFormat = "auto", stream: TextIO | None = None
) -> None:
    """Send all logs of this process to `stream` (standard error), replacing what was set before.

    "auto" is "console" on a terminal and "json" elsewhere.
    """
    target = stream or sys.stderr
    as_json = log_format == "json" or (log_format == "auto" and not target.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        # Not the traceback of rich, which would show the variables: a client's text among them.
        else [
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # At debug level gRPC 1.85 logs a server that was never stopped while it is being freed; a handler
    # that keeps the record, such as pytest's, keeps freed memory with it.
    logging.getLogger("grpc").setLevel(max(root.level, logging.INFO))


def bind_request_id(request_id: str, *, trace_id: str = "") -> None:
    """Add the ids to every line logged from the current task on, until the task ends."""
    structlog.contextvars.bind_contextvars(request_id=request_id)
    if trace_id:
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
