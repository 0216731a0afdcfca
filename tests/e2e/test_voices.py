"""Voices by curl through Envoy, as docs/voices.md prints it, and by JSON."""

import base64
import contextlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "voices.md"
EXAMPLES = re.compile(r"<!-- test: curl -->\s*```sh\n(.*?)```", re.DOTALL)
PRINTED = "127.0.0.1:8080"


def test_the_page_works_as_printed(
    stack: Any, tmp_path: Path, recording: bytes, wait_until: Any
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    examples = EXAMPLES.findall(PAGE.read_text(encoding="utf-8"))
    assert len(examples) == 1
    assert PRINTED in examples[0]
    (tmp_path / "mia.m4a").write_bytes(recording)  # what it is follows from what it holds
    done = subprocess.run(
        ["sh", "-e", "-c", examples[0].replace(PRINTED, stack.edge)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mia.zip").read_bytes()[:2] == b"PK"
    assert (tmp_path / "hello.mp3").stat().st_size > 1_000
    wait_until(lambda: is_gone(stack, "mia"))  # deleted in the last line


def is_gone(stack: Any, voice_id: str) -> bool:
    """Whether every server knows."""
    return all(stack.ask("GET", f"/v1/voices/{voice_id}").status == 404 for _ in range(8))


def creation(recording: bytes, **fields: Any) -> dict[str, Any]:
    told = {"voice_id": "zoe", "consent": True, "audio": base64.b64encode(recording).decode()}
    return told | fields


def test_a_voice_is_made_and_changed_by_json(stack: Any, recording: bytes, wait_until: Any) -> None:
    voice = {"display_name": "Zoe", "gender": "VOICE_GENDER_FEMALE"}
    made = stack.ask("POST", "/v1/voices", creation(recording, voice=voice))
    assert made.status == 200, made.body
    assert made.json()["quality"]["speech_ratio"] > 0.8
    try:
        again = stack.ask("POST", "/v1/voices", creation(recording))
        assert again.status == 409
        changed = stack.ask("PATCH", "/v1/voices/zoe", {"description": "Bright."})
        assert changed.json()["description"] == "Bright."
        masked = stack.ask(
            "PATCH", "/v1/voices/zoe?update_mask=description", {"display_name": "No"}
        )
        assert (masked.json()["display_name"], masked.json()["description"]) == ("Zoe", "")
        wrong = stack.ask("PATCH", "/v1/voices/alto", {"description": "Mine."})
        assert wrong.status == 400
        assert "READ_ONLY" in wrong.body.decode()
    finally:
        assert stack.ask("DELETE", "/v1/voices/zoe").status == 200
    assert stack.ask("DELETE", "/v1/voices/zoe").status == 404
    wait_until(lambda: is_gone(stack, "zoe"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"consent": False}, "CONSENT_REQUIRED"),
        ({"audio": ""}, "REQUIRED"),
        ({"audio": base64.b64encode(b"a zip, say").decode()}, "AUDIO_UNREADABLE"),
    ],
)
def test_what_makes_no_voice_is_a_bad_request(
    stack: Any, recording: bytes, fields: Any, reason: str
) -> None:
    answer = stack.ask("POST", "/v1/voices", creation(recording, **fields))
    assert answer.status == 400
    assert reason in answer.body.decode()


def test_a_large_recording_fits_and_a_larger_one_does_not(stack: Any) -> None:
    """By its bytes alone: nobody speaks in it."""
    path = "/v1/voices:upload?voice_id=zoe&consent=true"
    large = stack.ask("POST", path, bytes(30_000_000))
    assert (large.status, "AUDIO_UNREADABLE" in large.body.decode()) == (400, True)
    in_one = stack.ask("POST", "/v1/voices", creation(bytes(11_000_000)))
    assert (in_one.status, "AUDIO_UNREADABLE" in in_one.body.decode()) == (400, True)
    with contextlib.closing(stack.connection()) as connection:
        connection.putrequest("POST", path)
        connection.putheader("content-length", "40000000")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_a_recording_may_come_with_the_text(stack: Any, recording: bytes) -> None:
    audio = {"content": base64.b64encode(recording).decode(), "consent": True}
    body = {"input": {"text": "Hello."}, "voice": {"reference_audio": audio}}
    answer = stack.ask("POST", "/v1/text:synthesize", body)
    assert answer.status == 200, answer.body
    assert b"summary" in answer.body


def test_a_voice_made_by_one_server_speaks_on_all(
    stack: Any, recording: bytes, wait_until: Any
) -> None:
    query = "?voice_id=shared&consent=true"
    assert stack.ask("POST", f"/v1/voices:upload{query}", recording).status == 200
    wait_until(lambda: all(stack.ask("GET", "/v1/voices/shared").status == 200 for _ in range(8)))
    body = {"input": {"text": "Hello."}, "voice": {"name": "voices/shared"}}
    for _ in range(8):
        assert stack.ask("POST", "/v1/text:synthesize", body).status == 200
    assert stack.ask("DELETE", "/v1/voices/shared").status == 200
