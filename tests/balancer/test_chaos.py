"""Fifty streams while servers are killed again and again: all end whole, to the sample."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "load" / "chaos.py"


async def test_every_stream_ends_whole_and_as_if_nothing_had_happened() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, "--streams", "50", "--servers", "3", "--json", stdout=PIPE
    )
    async with asyncio.timeout(240):
        output, _ = await process.communicate()
    report = json.loads(output.splitlines()[-1])
    assert report["failed"] == []
    assert report["kills"] >= 2
    assert report["resumes"] >= report["kills"]
    assert report["identical"] == report["streams"] == 50
    assert process.returncode == 0
