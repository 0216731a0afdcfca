"""Lines of many processes as one log."""

import json

import pytest

from server.stack.lines import as_json, as_text


def test_people_see_who_says_it() -> None:
    assert as_text("server-0", "hello") == "server-0  | hello\n"


def test_a_line_of_json_gets_its_process() -> None:
    line = as_json("balancer", '{"event": "call", "request_id": "me"}')
    assert json.loads(line) == {"process": "balancer", "event": "call", "request_id": "me"}


@pytest.mark.parametrize("line", ["Traceback", "", "7", "[1]", '"x"', "{", "nul\0", "ünïcode"])
def test_any_other_line_is_an_event_to_look_at(line: str) -> None:
    (only,) = as_json("edge", line).splitlines()
    found = json.loads(only)
    assert (found["event"], found["level"], found["process"]) == (line, "warning", "edge")
    assert found.keys() == {"process", "timestamp", "level", "logger", "event"}
