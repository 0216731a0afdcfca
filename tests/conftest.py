"""What every test shares: GPU tests skip without a GPU, and slowness is no failure."""

import os

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
