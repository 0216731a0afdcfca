"""The web page in a real browser, against two servers with the bundled voice behind real Envoy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "webui"
CHATTERBOX = Path(sys.executable).parent / "chatterbox"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
OF_KEYS = "e2e/keys.e2e.ts"


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


@pytest.mark.usefixtures("built")
def test_make_run_builds_the_page_where_it_can_be_built() -> None:
    asked = subprocess.run(["make", "--silent", "has-node"], cwd=ROOT, timeout=60, check=False)
    assert asked.returncode == 0


@pytest.fixture
def spoken_stack(built: Path, start_stack: Any, tmp_path: Path) -> Iterator[Any]:
    with start_stack(
        tmp_path, f"--web-root={built}", f"--server-flags=--voices-dir {tmp_path / 'voices'}"
    ) as stack:
        yield stack


def in_browser(stack: Any, *flags: str, **environment: str) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "e2e", "--", "--reporter=verbose", *flags],
        cwd=WEB,
        env=os.environ | {"CHATTERBOX_URL": stack.url, "CHROMIUM": CHROMIUM} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    sys.stdout.write(done.stdout + done.stderr)  # pytest shows it of a test that fails
    assert done.returncode == 0


def test_the_page_does_what_people_come_for(spoken_stack: Any) -> None:
    in_browser(spoken_stack, "--exclude", OF_KEYS)


def test_the_page_asks_for_a_key_and_takes_the_right_one(
    built: Path, start_stack: Any, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    created = subprocess.run(
        [CHATTERBOX, "keys", "create", "somebody", "--file", keys],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with start_stack(tmp_path, f"--web-root={built}", f"--keys={keys}", "--servers=1") as stack:
        in_browser(stack, OF_KEYS, CHATTERBOX_API_KEY=created.stdout.strip())
