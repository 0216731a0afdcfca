"""A page of another site, in a browser on this machine, where nobody is asked for a key."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.v1 import admin_service_pb2 as admin
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub

OURS, FOREIGN = "http://localhost:5173", "https://evil.example"
SPEECH = {"input": "Hello.", "response_format": "wav"}
DRAIN = "/chatterbox.v1.AdminService/DrainBackend"


def fetched(site: str, origin: str | None = None) -> dict[str, str]:
    return {"sec-fetch-site": site} | ({"origin": origin} if origin else {})


@pytest.mark.parametrize("origin", [FOREIGN, "null", f"{OURS}.evil.example", None])
def test_it_makes_no_call(stack: Any, origin: str | None) -> None:
    headers = fetched("cross-site", origin)
    speech = stack.ask("POST", "/v1/audio/speech", SPEECH, headers)
    assert speech.status == 403
    assert speech.json()["error"]["type"] == "invalid_request_error"
    for verb, path in (("GET", "/v1/voices"), ("POST", "/v1/text:synthesize"), ("POST", DRAIN)):
        assert stack.ask(verb, path, {}, headers).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        fetched("same-origin"),
        fetched("same-site", OURS),
        fetched("none"),
        fetched("cross-site", OURS),
        fetched("cross-site", "http://127.0.0.1:3000"),
        {"origin": OURS},
    ],
    ids=str,
)
def test_whoever_is_none_does(stack: Any, headers: dict[str, str]) -> None:
    answer = stack.ask("POST", "/v1/audio/speech", SPEECH, headers)
    assert (answer.status, answer.body[:4]) == (200, b"RIFF")
    assert stack.ask("GET", "/v1/backends", headers=headers).json()["backends"]


def test_it_may_have_a_link_to_a_page_of_ours(stack: Any) -> None:
    assert stack.ask("GET", "/docs", headers=fetched("cross-site")).status == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_it_cannot_give_us_a_name_of_its_own(stack: Any, name: str) -> None:
    port = stack.edge.rpartition(":")[2]
    for host in (name, f"{name}:{port}"):
        for path in ("/v1/backends", "/docs", "/"):
            answer = stack.ask("GET", path, headers={"host": host, **fetched("same-origin")})
            assert answer.status == 403
            assert "localhost" in answer.json()["message"]
    options = [("grpc.default_authority", name)]
    with (
        grpc.insecure_channel(stack.edge, options=options) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        AdminServiceStub(channel).ListBackends(admin.ListBackendsRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "[::1]", "speech.localhost", "host.docker.internal"]
)
def test_this_machine_has_its_names(stack: Any, name: str) -> None:
    port = stack.edge.rpartition(":")[2]
    for host in (name, f"{name}:{port}", f"{name}:1234"):
        assert stack.ask("GET", "/v1/voices", headers={"host": host}).status == 200
    with grpc.insecure_channel(stack.edge, options=[("grpc.default_authority", name)]) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
