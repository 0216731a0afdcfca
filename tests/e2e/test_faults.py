"""What dies, and what its listeners see of it."""

import contextlib
import json
import os
import signal
from typing import Any

import openai
import pytest

LONG = "A long sentence that goes on for a while, and then for a while longer. " * 57
ENDLESS = "One more sentence, of many. " * 3_500


@pytest.mark.parametrize(("stream_format", "begin"), [("audio", b"RIFF"), ("sse", b"data: ")])
def test_a_server_that_dies_in_the_middle_breaks_the_file_off(
    stack: Any, wait_until: Any, stream_format: Any, begin: bytes
) -> None:
    """And the stack starts it again."""
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0)
    with (
        client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="alloy",
            input=LONG,
            response_format="wav",
            speed=0.25,
            stream_format=stream_format,
        ) as answer,
    ):
        pieces = answer.iter_bytes(4_096)
        assert next(pieces).startswith(begin)
        name = stack.busy_server()
        before = stack.pid_of(name)
        os.kill(before, signal.SIGKILL)
        with pytest.raises(Exception, match="incomplete chunked read"):
            for _ in pieces:
                pass

    wait_until(lambda: stack.pid_of(name) != before)

    def states() -> set[str]:
        backends = stack.ask("GET", "/v1/backends").json()["backends"]
        return {each["state"] for each in backends}

    wait_until(lambda: states() == {"STATE_SERVING"})


def test_a_server_that_dies_in_the_middle_goes_unnoticed_in_lines(
    stack: Any, wait_until: Any
) -> None:
    with contextlib.closing(stack.connection()) as connection:
        body = json.dumps({"input": {"text": ENDLESS[:20_000]}})
        connection.request("POST", "/v1/text:synthesize", body)
        answer = connection.getresponse()
        assert json.loads(answer.readline())["started"]
        name = stack.busy_server()
        before = stack.pid_of(name)
        os.kill(before, signal.SIGKILL)
        *chunks, last = [json.loads(line) for line in answer.read().splitlines()]
    numbers = [int(each["audio"]["sequence"]) for each in chunks]
    assert numbers == list(range(len(chunks)))
    assert last["summary"]["character_count"] == 20_000
    wait_until(lambda: stack.pid_of(name) != before)


def test_a_balancer_that_dies_is_told_and_comes_back(stack: Any, wait_until: Any) -> None:
    before = stack.pid_of("balancer")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid_of("balancer") != before)
    seen: set[int] = set()

    def speaks() -> bool:
        answer = stack.ask("POST", "/v1/audio/speech", {"input": "Hello again."})
        seen.add(answer.status)
        return bool(answer.status == 200)

    wait_until(speaks)
    assert seen <= {200, 503}


def test_a_stopped_stack_lets_what_speaks_finish(another_stack: Any) -> None:
    with (
        another_stack("--servers=1", "--drain-s=30") as stack,
        contextlib.closing(stack.connection()) as connection,
    ):
        body = json.dumps({"input": {"text": ENDLESS[:20_000]}})
        connection.request("POST", "/v1/text:synthesize", body)
        answer = connection.getresponse()
        answer.readline()
        stack.process.send_signal(signal.SIGTERM)
        lines = answer.read().splitlines()
        assert "summary" in json.loads(lines[-1])
        assert stack.process.wait(30) == 0
        assert "Traceback" not in stack.log.read_text()


def test_what_cannot_start_says_why_and_leaves_nothing_behind(another_stack: Any) -> None:
    flags = "--server-flags=--family nothing"
    with (
        pytest.raises(AssertionError, match=r"server-. cannot start.*no model family 'nothing'"),
        another_stack(flags),
    ):
        pass
