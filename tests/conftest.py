"""What every test shares: GPU tests skip without a GPU, and slowness is no failure."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Timing is measured by benchmarks; a busy machine must not fail a property.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Threads sleep after a short spin (docs/experiments.md); read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _voices_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests and their servers keep is not kept where the user's own voices are."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session")
def recording() -> bytes:
    """Eight seconds of speech as a file, such as a caller would send."""
    return (Path(__file__).parent / "recordings" / "ada.ogg").read_bytes()


@pytest.fixture(scope="session")
def speech(recording: bytes) -> Any:
    """The same as a clip."""
    from chatterbox.audio.files import read_clip

    return read_clip(recording)
