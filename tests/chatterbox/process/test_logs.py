"""Logs: one line per event, with the request's id, whoever writes them."""

import asyncio
import io
import json
import logging
import subprocess
import sys

import structlog

from chatterbox.process.logs import bind_request_id, configure_logs


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_look_alike() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", stream=stream)
    structlog.get_logger("ours").info("spoke", seconds=2)
    logging.getLogger("theirs").warning("heard %s", "it")

    ours, theirs = lines(stream)
    assert (ours["event"], ours["logger"], ours["seconds"]) == ("spoke", "ours", 2)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("heard it", "theirs", "warning")
    assert ours.keys() - {"seconds"} == theirs.keys()


async def test_the_request_id_stays_within_its_task() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", stream=stream)
    log = structlog.get_logger("calls")

    async def call(request_id: str) -> None:
        bind_request_id(request_id)
        await asyncio.sleep(0)
        log.info(request_id)

    await asyncio.gather(call("one"), call("two"))
    log.info("none")
    assert [line.get("request_id") for line in lines(stream)] == ["one", "two", None]


def test_a_traceback_stays_on_its_line() -> None:
    stream = io.StringIO()
    configure_logs(log_format="json", stream=stream)
    try:
        raise ZeroDivisionError("half")
    except ZeroDivisionError:
        structlog.get_logger("ours").exception("failed")
    (line,) = lines(stream)
    assert "ZeroDivisionError: half" in str(line["exception"])


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure_logs(level="warning", log_format="json", stream=stream)
    structlog.get_logger("ours").info("quiet")
    assert stream.getvalue() == ""


def test_people_get_text_and_machines_get_json() -> None:
    stream = io.StringIO()
    configure_logs(log_format="console", stream=stream)
    structlog.get_logger("ours").info("spoke")
    assert "spoke" in stream.getvalue()
    assert not stream.getvalue().startswith("{")

    piped = io.StringIO()
    configure_logs(log_format="auto", stream=piped)  # not a terminal
    structlog.get_logger("ours").info("spoke")
    assert lines(piped)[0]["event"] == "spoke"


def test_grpc_logs_no_server_that_is_being_freed() -> None:
    script = """
import asyncio, sys, grpc
from chatterbox.process.logs import configure_logs
configure_logs(level="debug", log_format="json", stream=sys.stdout)
async def throw_away():
    grpc.aio.server().add_insecure_port("127.0.0.1:0")
for _ in range(5):
    asyncio.run(throw_away())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"asyncio" in done.stdout  # others' debug lines are there
    assert b"__dealloc__" not in done.stdout
