"""REST through Envoy: our own methods, their errors, and the limits of the edge."""

import base64
import contextlib
import http.client
import json
import socket
from typing import Any

import pytest

TEXT = "The same sentence by three ways."


def test_a_text_is_spoken_a_json_object_a_line(stack: Any) -> None:
    body = {"input": {"text": TEXT}, "options": {"seed": 7}}
    answer = stack.ask("POST", "/v1/text:synthesize", body)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    events = [json.loads(line) for line in answer.body.splitlines()]
    assert events[0]["started"]["seed"] == "7"
    assert events[-1]["summary"]["character_count"] == len(TEXT)
    chunks = [base64.b64decode(event["audio"]["audio_content"]) for event in events[1:-1]]
    seconds = float(events[-1]["summary"]["audio_duration"].removesuffix("s"))
    assert sum(map(len, chunks)) == round(seconds * 48_000)


def test_sound_comes_while_more_is_being_made(stack: Any) -> None:
    with contextlib.closing(stack.connection()) as connection:
        body = json.dumps({"input": {"text": "One more sentence. " * 5_000}})
        connection.request("POST", "/v1/text:synthesize", body)
        answer = connection.getresponse()
        assert json.loads(answer.readline())["started"]
        assert json.loads(answer.readline())["audio"]["sequence"] == "0"
        backends = stack.ask("GET", "/v1/backends").json()["backends"]
        assert sum(each["active_streams"] for each in backends) == 1


def test_voices_and_models_are_resources(stack: Any) -> None:
    listed = stack.ask("GET", "/v1/voices?page_size=1").json()
    assert [voice["name"] for voice in listed["voices"]] == ["voices/alto"]
    after = stack.ask("GET", f"/v1/voices?page_token={listed['next_page_token']}").json()
    assert [voice["name"] for voice in after["voices"]] == ["voices/bass"]
    assert stack.ask("GET", "/v1/voices/bass").json()["display_name"] == "Bass"
    assert stack.ask("GET", "/v1/speech/models/tone").json()["name"] == "models/tone"


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "reason"),
    [
        ("GET", "/v1/voices/nobody", None, 404, "NOT_FOUND"),
        ("GET", "/v1/voices?page_size=-1", None, 400, "OUT_OF_RANGE"),
        ("POST", "/v1/text:synthesize", {"input": {}}, 400, "REQUIRED"),
    ],
)
def test_an_error_is_a_status_with_its_details(
    stack: Any, verb: str, path: str, body: Any, status: int, reason: str
) -> None:
    answer = stack.ask(verb, path, body, {"x-request-id": "from-a-test"})
    assert answer.status == status
    info = next(each for each in answer.json()["details"] if each["@type"].endswith("ErrorInfo"))
    assert info["reason"] == reason
    assert info["metadata"]["request_id"] == "from-a-test"
    assert answer.headers["x-request-id"] == "from-a-test"
    assert not [name for name in answer.headers if name.startswith(("x-error", "x-served"))]


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/v1/text:synthesize", b"not json", 400),
        ("POST", "/v1/text:synthesize", {"input": {"text": 7}}, 400),
        ("GET", "/v1/text:synthesize", None, 404),
        ("GET", "/v1/voices?colour=red", None, 400),
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/nothing", None, 404),
        ("GET", "/v1/..%2f..%2fetc/passwd", None, 400),
        ("POST", "/chatterbox.worker.v1.WorkerService/WatchLoad", None, 404),
    ],
)
def test_what_is_no_request_is_refused_at_the_edge(
    stack: Any, verb: str, path: str, body: Any, status: int
) -> None:
    assert stack.ask(verb, path, body).status == status


def test_a_hundred_megabytes_are_refused(stack: Any) -> None:
    """By their announced size, and by their real one when none is announced."""
    with contextlib.closing(stack.connection()) as connection:
        connection.putrequest("POST", "/v1/text:synthesize")
        connection.putheader("content-length", str(100 * 1024 * 1024))
        connection.endheaders()
        assert connection.getresponse().status == 413

    piece = b" " * 65_536
    sent = 0
    with contextlib.closing(stack.connection()) as connection:
        connection.putrequest("POST", "/v1/text:synthesize")
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1_600):
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
        with contextlib.suppress(ConnectionResetError, http.client.BadStatusLine):
            assert connection.getresponse().status == 413
    assert sent < 64 * 1024 * 1024  # what fits into buffers on the way, and no more
    assert stack.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "headers",
    [{"x-large": "x" * 200_000}, {f"x-{number}": "x" for number in range(500)}],
    ids=["a large one", "many"],
)
def test_a_header_bomb_is_refused(stack: Any, headers: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host, port = stack.edge.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.sendall(f"GET /v1/voices HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(100).startswith(b"HTTP/1.1 431")
    assert stack.ask("GET", "/v1/voices").status == 200


def test_the_document_and_its_page_are_served(stack: Any) -> None:
    document = stack.ask("GET", "/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.json()["openapi"] == "3.1.0"
    page = stack.ask("GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"/openapi.json" in page.body
    assert b"https://" not in page.body  # nothing comes from elsewhere
    front = stack.ask("GET", "/")
    assert (front.status, front.headers["location"]) == (301, f"{stack.url}/docs")


def test_every_path_of_the_document_is_there(stack: Any) -> None:
    paths = stack.ask("GET", "/openapi.json").json()["paths"]
    for path in paths:
        for verb in paths[path]:
            answer = stack.ask(verb.upper(), path.replace("{", "").replace("}", ""), {})
            assert answer.status != 404 or "NOT_FOUND" in answer.body.decode(), path
