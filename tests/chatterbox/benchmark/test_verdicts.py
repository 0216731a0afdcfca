"""A verdict is poor exactly where its bar is not reached."""

import pytest

from chatterbox.benchmark.report import Figure
from chatterbox.benchmark.verdicts import verdicts


def judged(family: str, device: str, **figures: float) -> dict[str, bool]:
    named = {name: Figure.of(name, [value]) for name, value in figures.items()}
    return {verdict.says: verdict.is_good for verdict in verdicts(family, device, named)}


@pytest.mark.parametrize(
    ("figures", "is_good"),
    [
        ({"rtf": 0.99}, True),
        ({"rtf": 1.0}, False),
        ({"streams_in_real_time": 1}, True),
        ({"streams_in_real_time": 0}, False),
        ({"differing_tokens": 0}, True),
        ({"differing_tokens": 1}, False),
    ],
)
def test_any_device_is_asked_for_real_time(figures: dict[str, float], *, is_good: bool) -> None:
    assert list(judged("tiny", "cpu", **figures).values()) == [is_good]


@pytest.mark.parametrize(
    ("figures", "is_good"),
    [
        ({"steps_per_s": 141}, True),
        ({"steps_per_s": 139}, False),
        ({"audio_s_per_s": 33}, True),
        ({"audio_s_per_s": 31}, False),
        ({"ttfa_s": 0.1}, True),
        ({"ttfa_s": 0.11}, False),
        ({"peak_device_mb": 90, "device_memory_mb": 100}, True),
        ({"peak_device_mb": 91, "device_memory_mb": 100}, False),
    ],
)
def test_a_gpu_is_held_against_what_others_say(figures: dict[str, float], *, is_good: bool) -> None:
    assert list(judged("english", "Some GPU", **figures).values()) == [is_good]
    assert judged("english", "cpu", **figures) == {}  # nobody says it of a CPU


def test_what_nobody_published_is_not_judged() -> None:
    assert judged("tiny", "Some GPU", steps_per_s=1.0) == {}
