"""From text to steps: pauses by what lies between, pronunciations, whole and live alike."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.errors import InvalidRequest
from chatterbox.speech import Pronunciation
from chatterbox.text.markup import AskedPause, Remark
from chatterbox.text.pronunciation import Lexicon
from chatterbox.text.script import (
    Boundary,
    BoundaryPause,
    LiveScript,
    Step,
    Wording,
    Words,
    has_lines,
    script_of,
)

PLAIN = Wording()
LONG_CLAUSE = "the river ran on past the old mill and down into the valley, " * 6
FIRST = "The first sentence is long enough to stand alone."
SECOND = "And so is the second one, which comes right behind it."


def steps(text: str, wording: Wording = PLAIN) -> list[Step]:
    return script_of(text, wording)


def live(fragments: list[str], wording: Wording = PLAIN) -> list[Step]:
    script = LiveScript(wording)
    found = [step for fragment in fragments for step in script.push(fragment)]
    return found + script.flush()


def pauses(found: list[Step]) -> list[float]:
    return [step.seconds for step in found if isinstance(step, BoundaryPause)]


@pytest.mark.parametrize(
    ("text", "boundary"),
    [
        (f"{FIRST} {SECOND}", Boundary.SENTENCE),
        (f'"{FIRST}" {SECOND}', Boundary.SENTENCE),
        (f"{FIRST}\n\n{SECOND}", Boundary.PARAGRAPH),
        (f"{FIRST}\r\n \r\n{SECOND}", Boundary.PARAGRAPH),
        (f"A Heading\n\n{SECOND}", Boundary.PARAGRAPH),
        (LONG_CLAUSE, Boundary.CLAUSE),
    ],
)
def test_what_lies_between_decides_the_pause(text: str, boundary: Boundary) -> None:
    found = pauses(steps(text))
    assert found
    assert set(found) == {boundary.value}
    assert pauses(live([text])) == found


def test_words_are_not_held_apart() -> None:
    found = steps("word " * 200)
    assert len(found) > 2
    assert pauses(found) == []


def test_there_is_no_pause_before_the_first_and_after_the_last() -> None:
    found = steps(f"\n\n{FIRST}\n\n{SECOND}\n\n")
    assert [type(step) for step in found] == [Words, BoundaryPause, Words]


def test_a_pause_that_is_asked_for_takes_the_place_of_the_usual_one() -> None:
    assert steps(f"{FIRST} [pause:2s] {SECOND}") == [Words(FIRST), AskedPause(2.0), Words(SECOND)]


def test_a_pause_divides_a_sentence() -> None:
    text = "I think [pause:500ms] that it was him."
    expected = [Words("I think"), AskedPause(0.5), Words("that it was him.")]
    assert steps(text) == expected
    assert live(list(text)) == expected


def test_silence_without_end_is_refused() -> None:
    assert len(steps("[pause:10s] " * 60)) == 60
    with pytest.raises(InvalidRequest) as caught:
        steps("[pause:10s] " * 61)
    assert caught.value.reason == "TOO_MUCH_SILENCE"


def test_pronunciations_do_not_make_a_book_of_a_page() -> None:
    wording = Wording(lexicon=Lexicon([Pronunciation("a", "so it is, " * 12)]))
    assert steps("a " * 8, wording)
    assert live(["a "] * 8, wording)
    for much in (lambda: steps("a " * 100, wording), lambda: live(["a "] * 100, wording)):
        with pytest.raises(InvalidRequest) as caught:
            much()
        assert caught.value.reason == "TOO_MUCH_SPOKEN"
        assert caught.value.field == "pronunciations"


def test_pauses_alone_are_nothing_to_say() -> None:
    assert not has_lines(steps("[pause:1s] ... [unknown]"))
    assert has_lines(steps("[pause:1s] Go."))


@given(
    text=st.lists(
        st.sampled_from(
            [FIRST, SECOND, " ", "\n\n", "[pause:1s]", "[foo]", " Oh! ", "[laugh] ", "[", "no, "]
        ),
        max_size=14,
    ).map("".join),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_live_text_is_said_as_the_whole_is_but_for_where_it_waits(
    text: str, cuts: list[int]
) -> None:
    """The same words, pauses and remarks in the same order."""
    wording = Wording(tags=frozenset({"laugh"}))
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    found = live([text[a:b] for a, b in pairwise(edges)], wording)

    def told(several: list[Step]) -> list[object]:
        out: list[object] = [""]
        for step in several:
            if isinstance(step, Words):
                out[-1] = "".join((str(out[-1]) + step.text).split())
            elif isinstance(step, AskedPause):
                out += [step, ""]
        return out

    assert told(found) == told(steps(text, wording))
    assert {step for step in found if isinstance(step, Remark)} == {
        step for step in steps(text, wording) if isinstance(step, Remark)
    }


def test_a_live_script_goes_on_where_another_was() -> None:
    first = LiveScript(PLAIN)
    assert first.push(f"{FIRST} And [pau") == [Words(FIRST)]
    second = LiveScript(PLAIN, unsaid=first.unsaid, said=first.said)
    assert second.push("se:1s] then.") == [
        BoundaryPause(Boundary.SENTENCE.value),
        Words("And"),
        AskedPause(1.0),
    ]
    assert second.flush() == [Words("then.")]


def test_what_is_dropped_is_all_that_was_not_said() -> None:
    script = LiveScript(PLAIN)
    script.push("Never mind [paus")
    assert script.drop() == "Never mind [paus"
    assert script.flush() == []


LEXICON = Lexicon(
    [
        Pronunciation("nginx", "engine ex"),
        Pronunciation("GIF", "jif"),
        Pronunciation("St", "Street"),
        Pronunciation("St John", "Sinjin"),
        Pronunciation("C++", "see plus plus"),
        Pronunciation("ex", "wrong"),
    ]
)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("nginx, nginx.", "engine ex, engine ex."),
        ("A GIF is no gif, nor a GIFT.", "A jif is no gif, nor a GIFT."),
        ("St John of High St", "Sinjin of High Street"),
        ("(C++)", "(see plus plus)"),
        ("Stonegate", "Stonegate"),
        ("cost", "cost"),
    ],
)
def test_whole_words_are_said_as_they_should_be(written: str, spoken: str) -> None:
    assert LEXICON.spoken(written) == spoken
    assert steps(written, Wording(lexicon=LEXICON)) == [Words(spoken)]


def test_an_utterance_stays_short_whatever_is_put_in() -> None:
    lexicon = Lexicon([Pronunciation("a", "alpha beta gamma delta " * 5)])
    found = steps("a " * 9, Wording(lexicon=lexicon))
    lines = [step.text for step in found if isinstance(step, Words)]
    assert all(len(line) <= 300 for line in lines)
    assert " ".join(lines).count("alpha") == 45


@pytest.mark.parametrize(
    ("phrase", "spoken_as"),
    [("", "x"), ("x", " "), ("x" * 65, "x"), ("x", "x" * 129), ("[laugh]", "x"), ("x", "[STOP]")],
)
def test_a_pronunciation_that_makes_no_sense_is_refused(phrase: str, spoken_as: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Pronunciation(phrase, spoken_as)
    assert (caught.value.field, caught.value.reason) == ("pronunciations", "INVALID_PRONUNCIATION")
