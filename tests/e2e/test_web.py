"""The web interface's folder: files, places inside it, and what a browser is told about them."""

from collections.abc import Iterator
from typing import Any

import pytest

PAGE = b"<!doctype html><p>hello"
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, start_stack: Any) -> Iterator[Any]:
    """A stack with a web interface. Beside its folder lies what nobody may see."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "secret.txt").write_text("secret")
    dist = folder / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_bytes(PAGE)
    (dist / "favicon.svg").write_text("<svg/>")
    (dist / "assets" / "app-1a2b.js").write_text("hello()")
    (dist / "assets" / "app-1a2b.css").write_text("p {}")
    (dist / "assets" / "sans-1a2b.woff2").write_bytes(b"wOF2")
    with start_stack(folder, "--servers=1", f"--web-root={dist}") as stack:
        yield stack


@pytest.mark.parametrize("path", ["/", "/voices", "/voices/ada", "/?lang=de", "/a/b/c?v=1.5"])
def test_every_place_is_the_one_page_asked_for_anew(web: Any, path: str) -> None:
    answer = web.ask("GET", path)
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "content_type", "keep"),
    [
        ("/assets/app-1a2b.js", "text/javascript", IMMUTABLE),
        ("/assets/app-1a2b.css", "text/css", IMMUTABLE),
        ("/assets/sans-1a2b.woff2", "font/woff2", IMMUTABLE),
        ("/favicon.svg", "image/svg+xml", "public, max-age=3600"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
    ],
)
def test_a_file_says_what_it_is_and_how_long_it_lasts(
    web: Any, path: str, content_type: str, keep: str
) -> None:
    answer = web.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.headers["cache-control"] == keep


@pytest.mark.parametrize("path", ["/", "/voices", "/assets/app-1a2b.js", "/favicon.svg"])
def test_a_browser_is_told_what_a_page_may_do(web: Any, path: str) -> None:
    headers = web.ask("GET", path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "microphone=(self)" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers  # a promise that only TLS can keep


@pytest.mark.parametrize("path", ["/assets/app-gone.js", "/assets/gone", "/gone.png", "/x.php"])
def test_a_file_that_is_not_there_is_not_found_and_not_kept(web: Any, path: str) -> None:
    answer = web.ask("GET", path)
    assert answer.status == 404
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/../../secret.txt",
        "//secret.txt",
        "//etc/passwd",
        "/%00secret.txt",
    ],
)
def test_nothing_beside_the_folder_is_shown(web: Any, path: str) -> None:
    answer = web.ask("GET", path)
    assert b"secret" not in answer.body
    assert b"root:" not in answer.body


def test_the_api_is_what_it_is_without_an_interface(web: Any) -> None:
    assert web.ask("GET", "/v1/models").json()["object"] == "list"
    assert web.ask("GET", "/openapi.json").status == 200
    assert web.ask("GET", "/docs").status == 200
    assert web.ask("GET", "/healthz").status == 200
    assert web.ask("GET", "/v1/nothing").status == 404
    assert web.ask("GET", "/chatterbox.worker.v1.WorkerService/WatchLoad").status == 404


@pytest.mark.parametrize("path", ["/", "/voices", "/assets/app-1a2b.js"])
def test_a_page_is_read_and_nothing_else(web: Any, path: str) -> None:
    assert web.ask("POST", path, b"x").status == 404
    head = web.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")


def test_a_new_build_is_served_at_once(web: Any) -> None:
    page = web.log.parent / "dist" / "index.html"
    try:
        page.write_bytes(PAGE + b" again")
        assert web.ask("GET", "/voices").body == PAGE + b" again"
    finally:
        page.write_bytes(PAGE)


def test_the_docs_may_run_their_own_script_alone(web: Any) -> None:
    headers = web.ask("GET", "/docs").headers
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
