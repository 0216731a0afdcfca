"""The web interface's folder, if there is one."""

from pathlib import Path
from typing import Any


def test_files_are_served_beside_the_api_and_nothing_else_is(
    another_stack: Any, tmp_path: Path
) -> None:
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<p>hello")
    (web / "assets" / "app-1a2b.js").write_text("hello()")
    (tmp_path / "secret.txt").write_text("secret")
    with another_stack("--servers=1", f"--web-root={web}") as stack:
        front = stack.ask("GET", "/")
        assert (front.status, front.body) == (200, b"<p>hello")
        assert front.headers["content-type"].startswith("text/html")
        script = stack.ask("GET", "/assets/app-1a2b.js")
        assert script.headers["content-type"] == "text/javascript"
        assert "immutable" in script.headers["cache-control"]
        assert "cache-control" not in front.headers
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt"):
            answer = stack.ask("GET", path)
            assert answer.status in (400, 404), path
            assert b"secret" not in answer.body
        assert stack.ask("GET", "/v1/models").json()["object"] == "list"
        assert stack.ask("GET", "/openapi.json").status == 200
