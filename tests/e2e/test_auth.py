"""Who gets in through a stack that asks: TLS to the edge, certificates between its parts."""

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import openai
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jwt.algorithms import ECAlgorithm

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

CHATTERBOX = Path(sys.executable).parent / "chatterbox"
ISSUER, AUDIENCE = "https://issuer.example", "chatterbox"
SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
WRONG_KEY = "cb_aaaaaaaa_" + "a" * 52
SPEECH = {"input": "Hello.", "response_format": "wav"}


def token(**claims: Any) -> str:
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 60} | claims
    return jwt.encode(said, SIGNING_KEY, algorithm="ES256", headers={"kid": "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A stack that asks for keys or tokens."""

    stack: Any
    keys: Path
    certs: Path

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certs / "ca.pem"))

    def create(self, *flags: str) -> str:
        """A key, as operators make it."""
        return run("keys", "create", "somebody", "--file", str(self.keys), *flags).strip()

    def ask(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"https://{self.stack.edge}{path}", data, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.context) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def channel(self) -> grpc.Channel:
        authority = (self.certs / "ca.pem").read_bytes()
        return grpc.secure_channel(self.stack.edge, grpc.ssl_channel_credentials(authority))

    def openai(self, key: str) -> openai.OpenAI:
        trusting = openai.DefaultHttpxClient(verify=self.context)
        url = f"https://{self.stack.edge}/v1"
        return openai.OpenAI(base_url=url, api_key=key, max_retries=0, http_client=trusting)


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [CHATTERBOX, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def guarded(start_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    keys, certs, jwks = folder / "keys.json", folder / "certs", folder / "jwks.json"
    public = json.loads(ECAlgorithm.to_jwk(SIGNING_KEY.public_key())) | {"kid": "1"}
    jwks.write_text(json.dumps({"keys": [public]}))
    run("keys", "create", "first", "--file", str(keys))
    tokens = (f"--jwks={jwks}", f"--jwt-issuer={ISSUER}", f"--jwt-audience={AUDIENCE}")
    flags = (f"--keys={keys}", f"--certificates={certs}", *tokens, "--servers=1")
    with start_stack(folder, *flags) as stack:
        yield Guarded(stack=stack, keys=keys, certs=certs)


@pytest.fixture(scope="module")
def key(guarded: Guarded) -> str:
    """A key that everybody knows by now."""
    created = guarded.create()
    wait_for(guarded, created, 200)
    return created


def wait_for(guarded: Guarded, credentials: str, status: int) -> None:
    deadline_s = time.monotonic() + 20
    while guarded.ask("/v1/voices", headers=bearer(credentials))[0] != status:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def test_rest_takes_keys_and_tokens(guarded: Guarded, key: str) -> None:
    for headers in (bearer(key), {"x-api-key": key}, bearer(token())):
        status, _, sound = guarded.ask("/v1/audio/speech", SPEECH, headers)
        assert (status, sound[:4]) == (200, b"RIFF")
        assert guarded.ask("/v1/voices", headers=headers)[0] == 200


def test_without_a_key_rest_is_401_and_says_how(guarded: Guarded) -> None:
    status, headers, body = guarded.ask("/v1/voices")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    told = json.loads(body)
    assert "x-api-key" in told["message"]
    assert told["details"][0]["reason"] == "NO_CREDENTIALS"
    for wrong in (WRONG_KEY, token(exp=int(time.time()) - 600), token(aud="other"), "none"):
        assert guarded.ask("/v1/voices", headers=bearer(wrong))[0] == 401


def test_openai_speaks_with_a_key(guarded: Guarded, key: str) -> None:
    with guarded.openai(key) as client:
        speech = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
        assert len(speech.read()) > 1_000
        assert [model.id for model in client.models.list()] == ["tone"]


def test_openai_is_told_in_its_own_words_that_a_key_is_wrong(guarded: Guarded) -> None:
    with guarded.openai(WRONG_KEY) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")
        error = caught.value
        assert (error.status_code, error.type, error.code) == (
            401,
            "invalid_request_error",
            "INVALID_API_KEY",
        )
        assert error.param is None
        assert "not valid" in error.message
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_openai_is_told_when_a_limit_is_reached(guarded: Guarded) -> None:
    slow = guarded.create("--characters-per-minute", "10")
    wait_for(guarded, slow, 200)
    with guarded.openai(slow) as client:
        create = client.audio.speech.with_raw_response.create
        assert create(model="tts-1", voice="alloy", input="x" * 30).status_code == 200
        with pytest.raises(openai.RateLimitError) as caught:
            create(model="tts-1", voice="alloy", input="x")
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "LIMIT_REACHED")
    assert 60 < int(caught.value.response.headers["retry-after"]) <= 126


def test_grpc_takes_a_key_and_health_needs_none(guarded: Guarded, key: str) -> None:
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
    with guarded.channel() as channel:
        stub = TextToSpeechServiceStub(channel)
        metadata = [("authorization", f"Bearer {key}")]
        answers = list(stub.Synthesize(request, metadata=metadata, timeout=20))
        assert answers[-1].HasField("summary")
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Synthesize(request, timeout=20))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert guarded.ask("/healthz")[0] == 200


def test_backends_and_methods_are_not_for_users(guarded: Guarded, key: str) -> None:
    assert guarded.ask("/v1/backends", headers=bearer(key))[0] == 403
    assert guarded.ask("/v1/backends")[0] == 401
    boss = token(scope="chatterbox.admin")
    assert guarded.ask("/v1/backends", headers=bearer(boss))[0] == 200
    with guarded.channel() as channel:
        reflection = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.RpcError) as caught:
            next(reflection(iter([b""]), metadata=[("x-api-key", boss)], timeout=20))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_revoked_key_is_refused_without_a_restart(guarded: Guarded) -> None:
    gone = guarded.create()
    wait_for(guarded, gone, 200)
    run("keys", "revoke", gone[:11], "--file", str(guarded.keys))
    wait_for(guarded, gone, 401)


def test_the_parts_take_no_call_without_a_certificate(guarded: Guarded, key: str) -> None:
    authority = (guarded.certs / "ca.pem").read_bytes()
    trusting = grpc.ssl_channel_credentials(authority)
    for address in (guarded.stack.balancer, *guarded.stack.servers):
        with grpc.secure_channel(address, trusting) as channel:
            call = health_pb2_grpc.HealthStub(channel).Check
            with pytest.raises(grpc.RpcError) as caught:
                call(health_pb2.HealthCheckRequest(), timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_command_line_has_a_key_and_an_authority(
    guarded: Guarded, key: str, tmp_path: Path
) -> None:
    by_variable = {
        "CHATTERBOX_API_KEY": key,
        "CHATTERBOX_TLS_CA": str(guarded.certs / "ca.pem"),
        "CHATTERBOX_SERVER": guarded.stack.edge,
    }
    speech = tmp_path / "speech.wav"
    run("say", "Hello.", "-o", str(speech), **by_variable)
    assert speech.read_bytes()[:4] == b"RIFF"
    assert "alto" in run("voices", **by_variable)
    boss = guarded.create("--role", "admin")
    wait_for(guarded, boss, 200)
    flags = ("--api-key", boss, "--tls-ca", str(guarded.certs / "ca.pem"))
    assert "serving" in run("backends", "--server", guarded.stack.edge, *flags)
    assert "serving" in run("top", "--once", "--server", guarded.stack.edge, *flags)


def test_no_key_is_in_any_log(guarded: Guarded, key: str) -> None:
    guarded.ask("/v1/voices", headers=bearer(key))
    guarded.ask(f"/v1/voices?page_token={'x' * 8}", headers=bearer(WRONG_KEY))
    shown = guarded.stack.log.read_text()
    assert key[:11] in shown  # the caller of a log line
    assert key[12:] not in shown
    assert WRONG_KEY[12:] not in shown


def test_an_edge_that_others_reach_must_ask() -> None:
    done = subprocess.run(
        [CHATTERBOX, "up", "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--keys FILE" in done.stderr
    assert "--insecure-no-auth" in done.stderr
