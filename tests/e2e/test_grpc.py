"""gRPC and gRPC-Web through Envoy."""

import base64
import contextlib
import struct
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

TEXT = "The same sentence by three ways."
SYNTHESIZE = "/chatterbox.v1.TextToSpeechService/Synthesize"
BINARY_KIND, TEXT_KIND = "application/grpc-web+proto", "application/grpc-web-text"
PAGE = "http://localhost:5173"


def request(text: str = TEXT) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(
        input=pb.SynthesisInput(text=text), options=pb.SynthesisOptions(seed=7)
    )


def live() -> Any:
    yield pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
    for word in TEXT.split():
        yield pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=f"{word} "))


def test_both_ways_at_once(stack: Any) -> None:
    with grpc.insecure_channel(stack.edge) as channel:
        answers = list(TextToSpeechServiceStub(channel).StreamingSynthesize(live(), timeout=20))
    assert answers[-1].summary.segment_count == 1
    assert sum(len(answer.audio.audio_content) for answer in answers) > 10_000


def test_health_and_reflection(stack: Any) -> None:
    with grpc.insecure_channel(stack.edge) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_an_error_keeps_its_details(stack: Any) -> None:
    with grpc.insecure_channel(stack.edge) as channel:
        call = TextToSpeechServiceStub(channel).Synthesize(request("..."))
        with pytest.raises(grpc.RpcError):
            next(call)
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    packed = dict(call.trailing_metadata())["grpc-status-details-bin"]
    assert "google.rpc.BadRequest" in str(status_pb2.Status.FromString(packed))


def test_what_the_edge_does_not_route_is_unimplemented(stack: Any) -> None:
    with grpc.insecure_channel(stack.edge) as channel:
        call = channel.unary_unary("/chatterbox.worker.v1.WorkerService/WatchLoad")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """The frames of a gRPC-Web body: a flag (0x80 for trailers) and what it holds."""
    found = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def web(stack: Any, message: pb.SynthesizeRequest, kind: str) -> Any:
    data = message.SerializeToString()
    body = struct.pack(">BI", 0, len(data)) + data
    if kind == TEXT_KIND:
        body = base64.b64encode(body)
    headers = {"content-type": kind, "accept": kind, "x-grpc-web": "1", "origin": PAGE}
    return stack.ask("POST", SYNTHESIZE, body, headers)


def unpacked(text: bytes) -> bytes:
    """Base64 in pieces, each of which may end in padding: so, four characters at a time."""
    return b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))


@pytest.mark.parametrize("kind", [BINARY_KIND, TEXT_KIND])
def test_a_browser_hears_what_others_hear(stack: Any, kind: str) -> None:
    answer = web(stack, request(), kind)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    body = unpacked(answer.body) if kind == TEXT_KIND else answer.body
    *messages, (flag, trailers) = frames(body)
    assert flag == 0x80
    assert b"grpc-status:0" in trailers
    answers = [pb.StreamingSynthesizeResponse.FromString(data) for _, data in messages]
    with grpc.insecure_channel(stack.edge) as channel:
        others = list(TextToSpeechServiceStub(channel).Synthesize(request()))
    sound, other = (
        b"".join(each.audio.audio_content for each in listed) for listed in (answers, others)
    )
    assert sound == other


def test_a_browser_reads_the_error(stack: Any) -> None:
    answer = web(stack, request("..."), BINARY_KIND)
    assert answer.headers["grpc-status"] == "3"
    assert "speak" in unquote(answer.headers["grpc-message"])
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]


def test_a_page_of_this_machine_may_call_and_others_may_not(stack: Any) -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-grpc-web",
    }
    ours = stack.ask("OPTIONS", SYNTHESIZE, headers={"origin": PAGE, **asked})
    assert ours.status in (200, 204)
    assert ours.headers["access-control-allow-origin"] == PAGE
    assert "x-grpc-web" in ours.headers["access-control-allow-headers"]
    foreign = stack.ask("OPTIONS", SYNTHESIZE, headers={"origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in foreign.headers


def test_a_browser_that_leaves_frees_the_place(stack: Any, wait_until: Any) -> None:
    data = request("One more sentence. " * 5_000).SerializeToString()

    def active() -> int:
        backends = stack.ask("GET", "/v1/backends").json()["backends"]
        return sum(each["active_streams"] for each in backends)

    with contextlib.closing(stack.connection()) as connection:
        body = struct.pack(">BI", 0, len(data)) + data
        headers = {"content-type": BINARY_KIND}
        connection.request("POST", SYNTHESIZE, body, headers)
        connection.getresponse().read(1_000)
        assert active() == 1
    wait_until(lambda: active() == 0)
