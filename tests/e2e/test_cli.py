"""The command line against the whole stack."""

import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

from chatterbox.process.addresses import backend_id

CHATTERBOX = Path(sys.executable).parent / "chatterbox"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [CHATTERBOX, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_say_speaks_through_the_edge(stack: Any, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    run("say", "Hello there.", "-o", str(path), "--server", stack.edge)
    with wave.open(str(path)) as file:
        assert file.getnframes() > 10_000


def test_the_backends_are_listed_through_the_edge(stack: Any) -> None:
    shown = run("backends", "--server", stack.edge)
    assert all(backend_id(address) in shown for address in stack.servers)
