"""The TypeScript client: its own tests, run against a real stack through real Envoy."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(__file__).parents[2] / "clients" / "ts"
MIN_NODE = 20
INSTALLED = CLIENT / "node_modules" / ".package-lock.json"


@pytest.fixture(scope="module")
def npm() -> str:
    """Where npm is, with the client's packages installed; skips without Node."""
    if _node_major() is None or (npm := shutil.which("npm")) is None:
        reason = f"the TypeScript client needs Node {MIN_NODE} or newer, with npm"
        if "CI" in os.environ:
            pytest.fail(reason)  # .ci/run brings one
        pytest.skip(reason)
    if not _is_installed():
        done = _run(npm, "ci")
        assert done.returncode == 0, done.stdout + done.stderr
    return npm


def _node_major() -> int | None:
    """The version of this machine's Node, None if it has none that is new enough."""
    node = shutil.which("node")
    if node is None:
        return None
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    major = int(done.stdout.removeprefix("v").split(".")[0])
    return major if major >= MIN_NODE else None


def _is_installed() -> bool:
    lock = CLIENT / "package-lock.json"
    return INSTALLED.exists() and INSTALLED.stat().st_mtime >= lock.stat().st_mtime


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=CLIENT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_client_speaks_with_a_real_stack(npm: str, stack: Any) -> None:
    done = _run(npm, "test", CHATTERBOX_TEST_URL=stack.url)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_generated_code_is_what_the_contract_generates(npm: str) -> None:
    done = _run(npm, "run", "generate", "--", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
