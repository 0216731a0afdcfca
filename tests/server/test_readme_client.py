"""The client in the README works as printed."""

import asyncio
import re
import subprocess
import sys
import wave
from pathlib import Path

from server.app import RunningServer

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"<!-- test: client -->\s*```python\n(.*?)```", re.DOTALL)
ADDRESS = re.compile(r"127\.0\.0\.1:\d+")  # the edge's or the server's
MAX_LINES = 20


def client_of_the_readme() -> str:
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert len(blocks) == 1, "README.md has one python block marked <!-- test: client -->"
    return str(blocks[0])


async def test_the_client_of_the_readme_speaks(running: RunningServer, tmp_path: Path) -> None:
    source = client_of_the_readme()
    assert ADDRESS.search(source)
    assert len(source.splitlines()) <= MAX_LINES

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        ADDRESS.sub(running.address, source),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        shown, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    assert b"real_time_factor" in shown
    (written,) = tmp_path.glob("*.wav")  # noqa: ASYNC240  # a test may block
    with wave.open(str(written)) as file:
        assert file.getframerate() == 24_000
        assert file.getnframes() > 24_000
