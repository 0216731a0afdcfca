"""Every example in the README that says so works as printed, against the whole stack."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"
EXAMPLE = re.compile(r"<!-- test: (\w+) -->\s*```(python|sh)\n(.*?)```", re.DOTALL)
ADDRESSES = ("127.0.0.1:8080", "127.0.0.1:50051")  # as printed; the stack's own takes its place
EXAMPLES = EXAMPLE.findall(README.read_text(encoding="utf-8"))
MIN_BYTES = 1_000  # of a sentence in any encoding


def test_the_readme_has_examples() -> None:
    assert "client" in [name for name, _, _ in EXAMPLES]


@pytest.mark.parametrize(
    ("language", "source"),
    [(language, source) for _, language, source in EXAMPLES],
    ids=[name for name, _, _ in EXAMPLES],
)
def test_an_example_leaves_a_sound_file(
    stack: Any, tmp_path: Path, language: str, source: str
) -> None:
    if language == "sh" and "curl" in source and shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    assert any(address in source for address in ADDRESSES)
    for address in ADDRESSES:
        source = source.replace(address, stack.edge)
    program = [sys.executable, "-W", "error", "-c"] if language == "python" else ["sh", "-e", "-c"]
    done = subprocess.run(
        [*program, source], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.iterdir()
    assert written.stat().st_size > MIN_BYTES
