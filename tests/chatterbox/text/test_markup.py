"""Brackets: what is markup, what is text, and no difference where the text is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.text.markup import (
    MAX_BRACKET_CHARACTERS,
    MAX_REMARKS,
    AskedPause,
    Markup,
    Part,
    Remark,
)

LAUGHS = frozenset({"laugh", "clear throat"})


def parts(text: str, tags: frozenset[str] = LAUGHS) -> list[Part]:
    markup = Markup(tags)
    return [*markup.push(text), *markup.flush()]


def codes(found: list[Part]) -> list[str]:
    return [part.code for part in found if isinstance(part, Remark)]


def words(found: list[Part]) -> str:
    return " ".join("".join(part for part in found if isinstance(part, str)).split())


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("[pause:1.5s]", 1.5),
        ("[pause:300ms]", 0.3),
        ("[Pause: 2]", 2.0),
        ("[pause:0s]", 0.0),
        ("[PAUSE : 10 s]", 10.0),
    ],
)
def test_a_pause_is_silence_of_its_length(written: str, seconds: float) -> None:
    assert parts(f"One {written} two.") == ["One ", AskedPause(seconds), " two."]


def test_a_pause_too_long_is_shortened_and_told() -> None:
    found = parts("Wait. [pause:600s] Go.")
    assert AskedPause(10.0) in found
    assert codes(found) == ["PAUSE_SHORTENED"]


@pytest.mark.parametrize("written", ["[pause]", "[pause:]", "[pause:soon]", "[pause:-1s]"])
def test_a_pause_that_makes_no_sense_is_never_read(written: str) -> None:
    found = parts(f"One {written} two.")
    assert words(found) == "One two."
    assert codes(found) == ["PAUSE_INVALID"]


def test_a_tag_that_the_model_knows_stays() -> None:
    assert parts("Ha [Laugh] and [clear_throat] well.") == ["Ha [laugh] and [clear throat] well."]


@pytest.mark.parametrize("written", ["[giggle]", "[sigh]", "[STOP]", "[cj_a]", "[fr]", "[UNK]"])
def test_a_tag_that_it_does_not_know_is_never_read(written: str) -> None:
    found = parts(f"Oh {written} dear.")
    assert words(found) == "Oh dear."
    assert codes(found) == ["TAG_UNKNOWN"]


def test_two_words_are_a_tag_only_where_some_model_knows_them() -> None:
    assert words(parts("Hm [clear throat] so.", frozenset())) == "Hm so."
    assert parts("She [as he said] left [1] [2024] [...].") == [
        "She [as he said] left [1] [2024] [...]."
    ]


def test_what_is_not_closed_is_text() -> None:
    assert parts("An open [bracket") == ["An open ", "[bracket"]
    assert words(parts("a[" + "x" * 100 + "] b")) == "a[" + "x" * 100 + "] b"


def test_the_same_remark_comes_once_and_all_of_them_are_few() -> None:
    assert len(codes(parts("[foo] " * 1000))) == 1
    assert len(codes(parts(" ".join(f"[foo{n}]" for n in range(1000))))) == MAX_REMARKS


@given(
    text=st.lists(
        st.sampled_from(
            ["[", "]", "pause:1s", "laugh", "foo", "[pause:2s]", "[laugh]", " a.", "\n"]
        ),
        max_size=40,
    ).map("".join),
    cuts=st.lists(st.integers(0, 120), max_size=10),
)
def test_no_cut_changes_the_meaning(text: str, cuts: list[int]) -> None:
    markup = Markup(LAUGHS)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    found: list[Part] = []
    for a, b in pairwise(edges):
        found += markup.push(text[a:b])
        assert len(markup.held) <= MAX_BRACKET_CHARACTERS + 1
    found += markup.flush()

    def joined(several: list[Part]) -> list[Part]:
        """Neighbouring texts as one."""
        out: list[Part] = []
        for part in several:
            if isinstance(part, str) and out and isinstance(out[-1], str):
                out[-1] += part
            else:
                out.append(part)
        return out

    def without_remarks(several: list[Part]) -> list[Part]:
        return joined([part for part in several if not isinstance(part, Remark)])

    assert without_remarks(found) == without_remarks(parts(text))
    assert codes(found) == codes(parts(text))
