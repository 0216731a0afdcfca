"""Bounds on how long a text can take to say."""

import pytest

from chatterbox.engine.pace import least_tokens, most_tokens, usual_tokens

TEXTS = [
    "Hi.",
    "The quick brown fox jumps over the lazy dog.",
    "In 1984 it cost $1,250,000 - or 99% of everything!",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002",
    "Well... so, hm; no?",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_usual_pace_lies_well_inside(text: str) -> None:
    assert least_tokens(text) < usual_tokens(text) < most_tokens(text)


def test_everyday_english_takes_its_usual_pace() -> None:
    assert usual_tokens("The quick brown fox jumps over the lazy dog.") == 75
    assert usual_tokens("\u4eca\u5929\u5929\u6c14\u5f88\u597d") == 34, "four syllables a second"


def test_what_is_spelled_out_takes_longer() -> None:
    assert most_tokens("1984") > most_tokens("abcd") > most_tokens("a  b")


def test_marks_alone_demand_nothing() -> None:
    assert least_tokens("!!! ... 12") == 1
