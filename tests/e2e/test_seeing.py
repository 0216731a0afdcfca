"""One request through Envoy, balancer and server: one trace, one id in every log, no client's words."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import grpc
import pytest

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EDGE, BALANCER, SERVER = "chatterbox-edge", "chatterbox-balancer", "chatterbox-server"
METRICS_PORT = 19_613  # and the next one
SECRET_TEXT, SECRET_KEY = (
    "A sentence that nobody else is to read.",
    "sk-that-nobody-else-is-to-have",
)


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, start_stack: Any, collector: Any
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("traced")
    flags = (f"--otlp-endpoint={collector.endpoint}", f"--metrics-port={METRICS_PORT}")
    with start_stack(folder, "--servers=1", *flags) as stack:
        by_rest(stack)
        by_grpc(stack)
        yield stack


def by_rest(stack: Any) -> None:
    """A request that its caller traces."""
    headers = {"x-request-id": "by-rest", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    body = {"input": "Hello there.", "voice": "alto", "response_format": "wav"}
    assert stack.ask("POST", "/v1/audio/speech", body, headers).status == 200


def by_grpc(stack: Any) -> None:
    """A call that its caller does not trace, and that is refused."""
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="..."))
    with grpc.insecure_channel(stack.edge) as channel:
        call = TextToSpeechServiceStub(channel).Synthesize(
            request, metadata=(("x-request-id", "by-grpc"),)
        )
        with pytest.raises(grpc.RpcError):
            next(call)


def spans_of(collector: Any, request_id: str) -> list[Any]:
    """All spans of a request, in the order of the way inside."""

    def own(spans: list[Any]) -> list[Any]:
        return [
            each for each in spans if each.attributes.get("chatterbox.request_id") == request_id
        ]

    found = own(collector.received(lambda spans: len(own(spans)) >= 4))
    assert len(found) == 4
    by_parent = {each.parent_id: each for each in found}
    ids = {each.span_id for each in found}
    (outer,) = (each for each in found if each.parent_id not in ids)
    way = [outer]
    while (inner := by_parent.get(way[-1].span_id)) is not None:
        way.append(inner)
    assert len(way) == 4
    return way


def test_a_rest_request_is_one_trace_under_its_callers(traced: Any, collector: Any) -> None:
    way = spans_of(collector, "by-rest")
    assert [each.service for each in way] == [EDGE, BALANCER, BALANCER, SERVER]
    assert {each.trace_id for each in way} == {TRACE}
    assert way[0].parent_id == PARENT
    assert [each.kind for each in way] == [2, 2, 3, 2]
    _, call, attempt, served = way
    method = "chatterbox.v1.OpenAIService/CreateSpeech"
    assert {each.name for each in (call, attempt, served)} == {method}
    assert f"127.0.0.1:{attempt.attributes['server.port']}" == traced.servers[0]
    told = {name.removeprefix("chatterbox."): value for name, value in served.attributes.items()}
    assert (told["voice"], told["model"], told["underruns"]) == ("alto", "tone", 0)
    assert 0 < told["ttfa_s"] < told["audio_s"]
    assert told["rpc.response.status_code"] == "OK"
    assert served.events == ("accepted", "first audio")


def test_a_grpc_call_begins_a_trace_where_it_has_none(traced: Any, collector: Any) -> None:
    way = spans_of(collector, "by-grpc")
    assert [each.service for each in way] == [EDGE, BALANCER, BALANCER, SERVER]
    assert len({each.trace_id for each in way}) == 1
    assert way[0].parent_id == ""
    assert way[-1].attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert not way[-1].is_error


def test_every_process_has_its_metrics(traced: Any) -> None:
    pages = [
        urlopen(f"http://127.0.0.1:{METRICS_PORT + number}/metrics").read() for number in (0, 1)
    ]
    assert b"chatterbox_balancer_calls_total" in pages[0]
    assert b"chatterbox_time_to_first_audio_seconds" in pages[1]


def test_every_log_is_json_of_one_shape_under_one_id(traced: Any, wait_until: Any) -> None:
    headers = {"x-request-id": "logged", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    traced.ask("POST", "/v1/audio/speech", {"input": "Hello."}, headers)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in traced.log.read_text().splitlines()]

    def processes() -> set[str]:
        return {line["process"] for line in lines() if line.get("request_id") == "logged"}

    wait_until(lambda: processes() == {"edge", "balancer", "server-0"})
    for line in lines():
        assert {"timestamp", "level", "logger", "event"} <= line.keys(), line
        if line.get("request_id") == "logged":
            assert line["trace_id"] == TRACE


def test_no_log_holds_what_a_client_says_or_its_key(traced: Any, wait_until: Any) -> None:
    headers = {"x-request-id": "secret", "authorization": f"Bearer {SECRET_KEY}"}
    sent: list[tuple[str, str, Any]] = [
        ("POST", "/v1/audio/speech", {"input": SECRET_TEXT}),
        ("POST", "/v1/audio/speech", {"input": SECRET_TEXT, "speed": 99}),
        ("POST", "/v1/text:synthesize", {"input": {"text": SECRET_TEXT}}),
        ("POST", "/v1/text:synthesize", SECRET_TEXT.encode()),
        ("GET", f"/v1/voices?key={SECRET_KEY}", None),
        ("POST", f"/nowhere?key={SECRET_KEY}", {"input": SECRET_TEXT}),
    ]
    for verb, path, body in sent:
        traced.ask(verb, path, body, headers)
    wait_until(lambda: '"/nowhere"' in traced.log.read_text())
    shown = traced.log.read_text()
    assert shown.count('"secret"') >= len(sent)
    assert SECRET_KEY not in shown
    assert SECRET_TEXT[:20] not in shown
