"""The contract is clean, its Python is current, and it never breaks a client."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).parent / "buf"
BASE_BRANCHES = ("origin/main", "main")


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_committed_python_is_what_the_protos_generate() -> None:
    done = _run(sys.executable, PROTOS / "generate.py", "--check")
    assert done.returncode == 0, done.stderr


def test_the_protos_follow_the_rules_and_every_field_has_a_comment() -> None:
    done = _run(BUF, "lint", PROTOS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_protos_are_formatted() -> None:
    done = _run(BUF, "format", "--diff", "--exit-code", PROTOS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_client_of_the_main_branch_breaks(tmp_path: Path) -> None:
    base = next((name for name in BASE_BRANCHES if _has_protos(name)), None)
    if base is None:
        pytest.skip("no main branch with protos to compare with")
    archive = tmp_path / "base.tar"
    done = _run("git", "archive", "--output", archive, base, "protos")
    assert done.returncode == 0, done.stderr

    done = _run(BUF, "breaking", PROTOS, "--against", f"{archive}#subdir=protos")
    assert done.returncode == 0, done.stdout + done.stderr


def _has_protos(revision: str) -> bool:
    try:
        return _run("git", "cat-file", "-e", f"{revision}:protos/buf.yaml").returncode == 0
    except FileNotFoundError:  # no git on this machine
        return False
