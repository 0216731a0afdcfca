"""What cannot be measured is refused at once, by the name of its flag."""

from pathlib import Path
from typing import Any

import pytest

from chatterbox.benchmark.conditions import Conditions
from chatterbox.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"family_id": "huge"}, "--family"),
        ({"what": "speed"}, "--what"),
        ({"precision": "fp8"}, "--precision"),
        ({"streams": 0}, "--streams"),
        ({"threads": 0}, "--threads"),
        ({"repeats": 0}, "--repeats"),
        ({"utterances": 0}, "--utterances"),
        ({"seconds": 0.0}, "--seconds"),
        ({"seconds": float("nan")}, "--seconds"),
        ({"offered": -1.0}, "--offered"),
        ({"late_s": float("inf")}, "--late-s"),
        ({"seed": -1}, "--seed"),
        ({"prompt_s": 5.0}, "--prompt-s"),
        ({"prompt_s": -5.0, "random_weights": True}, "--prompt-s"),
        ({"family_id": "nano"}, "--random-weights"),
        ({"family_id": "nano", "weights": Path("w")}, "--voices"),
        ({"random_weights": True, "weights": Path("w")}, "--weights"),
    ],
)
def test_bad_conditions_name_the_flag(wrong: dict[str, Any], flag: str) -> None:
    with pytest.raises(ConfigError, match=flag):
        Conditions(**({"what": "t3"} | wrong))


def test_a_load_runs_longer_than_an_utterance() -> None:
    assert Conditions(what="stream").duration_s < Conditions(what="load").duration_s
    assert Conditions(what="load", seconds=3.0).duration_s == 3.0


def test_tokens_follow_from_the_seconds() -> None:
    assert Conditions(what="t3", seconds=5.0).tokens == 125
    assert Conditions(what="t3", seconds=0.001).tokens == 1
