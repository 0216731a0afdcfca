"""The web page in a real browser, against two servers with the bundled voice behind real Envoy."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "webui"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


def _lack() -> str | None:
    """What this machine does not have."""
    if shutil.which("npm") is None:
        return "building the web page needs Node 20 or newer, with npm"
    if not Path(CHROMIUM).exists():
        return "there is no chromium"
    return None


@pytest.fixture(scope="module")
def built() -> Path:
    """The page as `make web` builds it; skips where that cannot be, fails where it must."""
    lack = _lack()
    if lack is not None:
        if "CI" in os.environ:
            pytest.fail(lack)  # .ci/run brings both
        pytest.skip(lack)
    done = subprocess.run(
        ["make", "--no-print-directory", "web"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return WEB / "dist"


@pytest.fixture
def spoken_stack(built: Path, start_stack: Any, tmp_path: Path) -> Iterator[Any]:
    with start_stack(
        tmp_path, f"--web-root={built}", f"--server-flags=--voices-dir {tmp_path / 'voices'}"
    ) as stack:
        yield stack


def test_the_page_does_what_people_come_for(spoken_stack: Any) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "e2e"],
        cwd=WEB,
        env=os.environ | {"CHATTERBOX_URL": spoken_stack.url, "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
