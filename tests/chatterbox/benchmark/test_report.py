"""A report tells medians with their spread, and null for what was not measured."""

import json

import pytest

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.report import HEADLINES, Figure, MachineInfo, Report

MACHINE = MachineInfo(cpu="a cpu", cores=2, device="cpu", torch="2.14", system="Linux")


def report(*figures: Figure) -> Report:
    return Report(conditions=Conditions(what="t3"), machine=MACHINE, figures=figures)


def test_the_median_stands_above_its_spread() -> None:
    told = report(Figure.of("tokens_per_s", [30.0, 10.0, 20.0])).as_json()
    assert told["tokens_per_s"] == 20.0
    assert told["figures"]["tokens_per_s"] == {"median": 20.0, "min": 10.0, "max": 30.0, "runs": 3}


def test_what_was_not_measured_is_null() -> None:
    told = report(Figure.of("rtf", [0.5])).as_json()
    assert {name: told[name] for name in HEADLINES if name != "rtf"} == dict.fromkeys(
        name for name in HEADLINES if name != "rtf"
    )


def test_the_json_says_what_was_measured_where() -> None:
    told = json.loads(json.dumps(report().as_json()))
    for key in ("family", "what", "precision", "streams", "threads", "torch", "cpu", "device"):
        assert told[key] is not None


def test_a_figure_is_measured_once() -> None:
    with pytest.raises(AssertionError):
        report(Figure.of("rtf", [0.5]), Figure.of("rtf", [0.6]))
