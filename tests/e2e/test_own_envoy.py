"""An Envoy of one's own, as in production: TLS in front of the stack's balancer, no steering."""

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.v1 import admin_service_pb2 as admin
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.certificates import make_certificates
from server.stack.ports import Ports

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    address: str
    admin: str
    authority: Path

    def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.authority))
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                f"https://{self.address}{path}", data, timeout=20, context=context
            ) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def channel(self) -> grpc.Channel:
        trusted = grpc.ssl_channel_credentials(self.authority.read_bytes())
        return grpc.secure_channel(self.address, trusted)


@pytest.fixture(scope="module")
def edge(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    make_certificates(folder)
    ports = Ports()
    listen, admin_page = (ports.take("127.0.0.1:0", is_fixed=False) for _ in range(2))
    flags = {
        "folder": folder,
        "listen": listen,
        "admin": admin_page,
        "balancers": stack.balancer,
        "tls-certificate": folder / "edge.pem",
        "tls-key": folder / "edge-key.pem",
    }
    command = [
        SCRIPTS / "chatterbox",
        "envoy",
        *(f"--{name}={value}" for name, value in flags.items()),
    ]
    subprocess.run(command, check=True, capture_output=True)
    envoy = [SCRIPTS / "envoy", "-c", folder / "envoy.json", "--concurrency", "1"]
    process = subprocess.Popen(
        [*envoy, "--disable-hot-restart", "-l", "error"], stdout=subprocess.DEVNULL
    )
    try:
        yield Edge(address=listen, admin=admin_page, authority=folder / "ca.pem")
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(autouse=True)
def _healthy(edge: Edge, wait_until: Any) -> None:
    def serves() -> bool:
        try:
            return edge.ask("/healthz")[0] == 200
        except urllib.error.URLError:  # it does not listen yet
            return False

    wait_until(serves)


def test_speech_comes_through_tls_by_every_way(edge: Edge) -> None:
    status, sound = edge.ask("/v1/audio/speech", {"input": "Hello.", "response_format": "wav"})
    assert (status, sound[:4]) == (200, b"RIFF")
    with edge.channel() as channel:
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
        answers = list(TextToSpeechServiceStub(channel).Synthesize(request, timeout=20))
    assert answers[-1].HasField("summary")


def test_nobody_outside_steers_the_backends(edge: Edge) -> None:
    assert edge.ask("/v1/backends")[0] == 404
    with edge.channel() as channel:
        with pytest.raises(grpc.RpcError) as caught:
            AdminServiceStub(channel).ListBackends(admin.ListBackendsRequest(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "/v1/backends" not in json.loads(edge.ask("/openapi.json")[1])["paths"]


def test_methods_that_strangers_make_up_leave_nothing_behind(edge: Edge) -> None:
    def figures() -> set[str]:
        with urllib.request.urlopen(f"http://{edge.admin}/stats", timeout=20) as page:
            return {line.partition(":")[0] for line in page.read().decode().splitlines()}

    with edge.channel() as channel:

        def ask(method: str) -> None:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(method)(b"", timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

        ask("/chatterbox.v1.TextToSpeechService/NoMethod")
        before = figures()
        for number in range(20):
            ask(f"/chatterbox.v1.TextToSpeechService/NoMethod{number}")
            ask(f"/chatterbox.v1.NoService{number}/NoMethod")
    assert not [name for name in figures() - before if "NoMethod" in name or "NoService" in name]


def test_its_methods_cannot_be_asked_for(edge: Edge) -> None:
    with edge.channel() as channel:
        reflection = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.RpcError) as caught:
            next(reflection(iter([b""]), timeout=20))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
