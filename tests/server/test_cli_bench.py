"""`chatterbox bench`: a table, a line of JSON last, and one clear line for what is wrong."""

import json

import pytest

from chatterbox.benchmark.report import HEADLINES
from server.cli import run


def test_the_json_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "--what", "stream", "--seconds", "0.4", "--repeats", "1", "--json"]
    assert run(arguments) == 0

    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert told["family"] == "tiny"
    assert told["underruns"] >= 0
    assert set(HEADLINES) <= set(told)
    assert any("ttfa_s" in line for line in lines[:-1])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--family", "huge"], "--family"),
        (["--what", "speed"], "--what"),
        (["--family", "nano"], "--random-weights"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "abacus"], "abacus"),
        (["--streams", "many"], "--streams"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *arguments]) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert word in shown.err
    assert shown.err.count("\n") == 1
