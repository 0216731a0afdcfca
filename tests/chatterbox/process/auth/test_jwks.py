"""Where the keys of tokens come from, and how often they are asked for."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from chatterbox.process.auth import jwks as module
from chatterbox.process.auth.jwks import Jwks


class Web:
    """An issuer's web server, which answers as the test says."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (404, {}, b"")
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class names it
                web.asked.append(self.path)
                status, headers, body = web.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, args=(0.01,))
    thread.start()
    yield web
    web.server.shutdown()
    web.server.server_close()
    thread.join()


async def test_keys_come_from_a_url(web: Web, issuer: Any) -> None:
    web.answer = (200, {}, issuer.key_set("ES256", "EdDSA").encode())
    keys = Jwks(web.url)
    await keys.load()
    found = await keys.find("EdDSA")
    assert found is not None
    assert found.algorithm_name == "EdDSA"
    assert await keys.find(None) is None  # there are two
    assert len(web.asked) == 1


async def test_a_new_key_is_looked_for_but_not_for_every_forged_token(
    web: Web, issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answer = (200, {}, issuer.key_set("ES256").encode())
    keys = Jwks(web.url)
    await keys.load()
    web.answer = (200, {}, issuer.key_set("RS256").encode())
    assert await keys.find("RS256") is None  # it has just been looked at
    monkeypatch.setattr(module, "UNKNOWN_S", 0.0)
    assert await keys.find("RS256") is not None
    assert await keys.find("ES256") is None  # that one was withdrawn
    monkeypatch.setattr(module, "UNKNOWN_S", 10.0)
    asked = len(web.asked)
    for number in range(20):
        assert await keys.find(f"forged-{number}") is None
    assert len(web.asked) == asked


async def test_an_issuer_that_is_away_is_believed_for_a_while(
    web: Web, issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNKNOWN_S", 0.0)
    keys = Jwks(web.url)
    await keys.load()  # 404: the server starts all the same
    assert await keys.find("ES256") is None
    web.answer = (200, {}, issuer.key_set("ES256").encode())
    assert await keys.find("ES256") is not None
    web.answer = (500, {}, b"")
    assert await keys.find("unknown") is None
    assert await keys.find("ES256") is not None
    monkeypatch.setattr(module, "BELIEVED_S", -1.0)
    assert await keys.find("ES256") is None


async def test_an_answer_that_is_no_http_changes_nothing(
    web: Web, issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answer = (200, {}, issuer.key_set("ES256").encode())
    keys = Jwks(web.url)
    await keys.load()
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    following = asyncio.create_task(keys.follow())
    try:
        web.answer = (200, {"transfer-encoding": "chunked"}, b"no length\r\n")
        await until_asked_again(web)
        web.answer = (200, {}, issuer.key_set("RS256").encode())
        await until_asked_again(web)
        assert not following.done()
        assert await keys.find("RS256") is not None
    finally:
        following.cancel()


async def until_asked_again(web: Web) -> None:
    """Twice, so that the answer to the first was taken."""
    asked = len(web.asked)
    async with asyncio.timeout(20):
        while len(web.asked) < asked + 2:  # noqa: ASYNC110  # it sets no event
            await asyncio.sleep(0.01)


async def test_nobody_is_sent_elsewhere(web: Web, issuer: Any) -> None:
    web.answer = (302, {"location": "/other"}, issuer.key_set().encode())
    keys = Jwks(web.url)
    await keys.load()
    assert await keys.find("ES256") is None
    assert "/other" not in web.asked


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "not a JSON Web Key Set"),
        ("[1]", "not a JSON Web Key Set"),
        ('{"keys": []}', "not a JSON Web Key Set"),
        ('{"keys": {"a": 1}}', "not a JSON Web Key Set"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}', "has no key of"),
        (" " * (1024 * 1024 + 1), "larger"),
    ],
)
async def test_a_wrong_file_stops_the_start(tmp_path: Path, content: str, word: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=word):
        await Jwks(str(file)).load()


async def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        await Jwks(str(tmp_path / "nothing")).load()


async def test_a_key_to_encrypt_with_is_not_used(tmp_path: Path, issuer: Any) -> None:
    content = json.loads(issuer.key_set())
    content["keys"][0]["use"] = "enc"
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(content))
    keys = Jwks(str(file))
    await keys.load()
    assert await keys.find("RS256") is None
    assert await keys.find("ES256") is not None


def test_keys_in_the_clear_come_from_this_machine_only() -> None:
    Jwks("http://localhost:1/keys")
    Jwks("https://issuer.example/keys")
    with pytest.raises(ConfigError, match="not https"):
        Jwks("http://issuer.example/keys")
