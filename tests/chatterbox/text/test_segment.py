"""Segmentation: nothing lost, nothing twice, nothing too long."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatterbox.text.segment import LiveSegmenter, is_speakable, pieces, segments

PROSE = (
    "Dr. Smith went to Washington. He took the 3.15 train, which was late; nobody minded! "
    'Was that so? "Certainly," she said. It cost $4.50... and then, at last, it rained.\n\n'
    "A new paragraph begins here: short. Then it goes on for quite some time, as they do, "
    "until a second sentence ends it."
)
TEXTS = st.one_of(
    st.text(max_size=900),
    st.lists(
        st.sampled_from(
            [
                "word ",
                "Mr. ",
                "end. ",
                "no! ",
                "so, ",
                "x",
                "\n",
                "...",
                "。",
                "\uff0c",
                "今天",
                " ",
                "a-b; ",
            ]
        ),
        max_size=300,
    ).map("".join),
)


def bare(*texts: str) -> str:
    """The text without white space, which cuts may drop."""
    return "".join("".join(texts).split())


def live(fragments: list[str], *, overdue_every: int = 0) -> list[str]:
    segmenter = LiveSegmenter()
    spoken: list[str] = []
    for count, fragment in enumerate(fragments, start=1):
        spoken += segmenter.push(fragment)
        if overdue_every and count % overdue_every == 0:
            spoken += segmenter.overdue()
    return [part for piece in spoken + segmenter.flush() if (part := piece.strip())]


@given(text=TEXTS, limit=st.integers(20, 300))
@example(text="x" * 1000, limit=20)
@example(text=" \n " * 100, limit=20)
def test_the_segments_are_the_text_and_each_is_bounded(text: str, limit: int) -> None:
    parts = segments(text, limit=limit)
    assert bare(*parts) == bare(text)
    assert all(0 < len(part) <= limit for part in parts)
    assert all(part == part.strip() for part in parts)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 900), max_size=12), overdue=st.integers(0, 4))
def test_text_cut_anywhere_is_spoken_the_same(text: str, cuts: list[int], overdue: int) -> None:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    fragments = [text[a:b] for a, b in itertools.pairwise(edges)]
    parts = live(fragments, overdue_every=overdue)
    assert bare(*parts) == bare(text)
    assert all(0 < len(part) <= 300 for part in parts)


def test_text_fed_letter_by_letter_is_cut_between_words() -> None:
    parts = live(list(PROSE))
    assert " ".join(" ".join(parts).split()) == " ".join(PROSE.split())


def test_sentences_stay_whole_while_they_fit() -> None:
    parts = segments(PROSE, limit=100)
    assert parts[0] == (
        "Dr. Smith went to Washington. "
        "He took the 3.15 train, which was late; nobody minded! Was that so?"
    )
    assert all(part[-1] in '.!?,;:"' for part in parts)


def test_short_sentences_join_their_neighbours() -> None:
    assert segments("Oh. Hi! Yes, I am well, thank you.") == ["Oh. Hi! Yes, I am well, thank you."]


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    text = "the river ran past the old mill, " * 20
    parts = segments(text, limit=300)
    assert len(parts) > 1
    assert all(part.endswith("mill,") for part in parts)


def test_a_sentence_without_marks_is_cut_between_words() -> None:
    parts = segments("word " * 200, limit=299)
    assert set(" ".join(parts).split()) == {"word"}


def test_stretches_without_speech_join_a_neighbour() -> None:
    assert segments("*** *** ***\n\nThe chapter begins with a sentence of some length.") == [
        "*** *** ***\n\nThe chapter begins with a sentence of some length."
    ]


def test_a_heading_does_not_join_the_paragraph_below_it() -> None:
    assert segments("Chapter One\n\nIt was a dark night.\nIt rained.") == [
        "Chapter One",
        "It was a dark night.\nIt rained.",
    ]


@given(text=TEXTS)
def test_pieces_are_the_text_to_the_last_space(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_live_text_is_spoken_as_soon_as_its_sentence_is_complete() -> None:
    segmenter = LiveSegmenter()
    assert segmenter.push("I saw Dr.") == []
    assert segmenter.push(" Smith this morn") == []
    assert segmenter.push("ing. ") == ["I saw Dr. Smith this morning."]
    assert segmenter.push("Then he le") == []
    assert segmenter.flush() == [" Then he le"]
    assert segmenter.flush() == []


def test_an_abbreviation_at_the_end_of_a_fragment_does_not_end_the_sentence() -> None:
    segmenter = LiveSegmenter()
    assert segmenter.push("Yesterday I met Mr. ") == []
    assert segmenter.push("Brown. ") == ["Yesterday I met Mr. Brown."]


def test_a_long_live_sentence_is_spoken_clause_by_clause() -> None:
    segmenter = LiveSegmenter()
    clause = "and the rain fell on the roofs of the town, "
    assert segmenter.push(clause * 2) == []
    assert segmenter.push(clause) == [(clause * 3).strip()]


def test_overdue_text_is_spoken_up_to_the_last_whole_word() -> None:
    segmenter = LiveSegmenter()
    segmenter.push("The answer is forty-t")
    assert segmenter.overdue() == ["The answer is "]
    assert segmenter.overdue() == ["forty-t"]
    assert segmenter.overdue() == []


def test_dropped_text_is_returned_and_gone() -> None:
    segmenter = LiveSegmenter()
    segmenter.push("Never mind")
    assert segmenter.drop() == "Never mind"
    assert segmenter.flush() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        (" .!? \u2026", False),
        ("\U0001f600", False),
        ("a", True),
        ("7", True),
        ("\u597d", True),
    ],
)
def test_only_letters_and_digits_are_speakable(text: str, *, expected: bool) -> None:
    assert is_speakable(text) is expected
