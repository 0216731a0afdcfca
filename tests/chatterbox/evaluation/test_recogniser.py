"""The yardstick itself is measured: what counts as the same words, and what as an error."""

import pytest

from chatterbox.evaluation.recogniser import normalise, word_errors


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("The train leaves at 7:10!", "the train leaves at seven ten"),
        ("I'm on page 20.", "i am on page twenty"),
        ("It cost 1,200 dollars", "it cost one thousand two hundred dollars"),
        ("", ""),
    ],
)
def test_spelling_differences_are_not_errors(heard: str, meant: str) -> None:
    assert normalise(heard) == meant


def test_errors_count_substitutions_deletions_and_insertions() -> None:
    assert word_errors("one two three four", "one too three four five") == (2, 4)


def test_hearing_nothing_misses_every_word() -> None:
    errors, words = word_errors("nobody heard this", "")
    assert errors == words == 3
