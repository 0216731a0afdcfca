"""Script: a text as what is to be done one after the other: say this, be silent, say that."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from chatterbox.errors import InvalidRequest
from chatterbox.text.markup import AskedPause, Markup, Part, Remark
from chatterbox.text.pronunciation import Lexicon
from chatterbox.text.segment import LiveSegmenter, is_paragraph_end, is_speakable, pieces

MAX_SILENCE_S = 600.0  # of all pauses that one stream asks for
# Texts are bounded, and callers metered, by what is written; pronunciations may make more of it.
MAX_SPOKEN_PER_WRITTEN = 4
SPARE_CHARACTERS = 1_000  # so that a short text may be all abbreviations
_SAID_CHARACTERS = 20  # of an utterance, its marks and the space after it are found in these

_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019\u00bb)\]]*$")
_CLAUSE_END = re.compile(r"[,;:\u2014\u2013\u3001\uff0c\uff1b\uff1a\u061b\u060c)\]]$")


class Boundary(Enum):
    """What lies between two utterances, and how many seconds of silence belong there."""

    WORD = 0.0  # a sentence without any mark that was too long
    CLAUSE = 0.08
    SENTENCE = 0.2
    PARAGRAPH = 0.6


@dataclass(frozen=True, slots=True)
class Words:
    """An utterance."""

    text: str


@dataclass(frozen=True, slots=True)
class BoundaryPause:
    """Silence between two utterances, to be left out where nothing was heard before."""

    seconds: float


Step = Words | BoundaryPause | AskedPause | Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What besides the text decides what is said."""

    language: str = "en"
    tags: frozenset[str] = frozenset()  # those that the model knows
    lexicon: Lexicon = field(default_factory=Lexicon)


def script_of(text: str, wording: Wording) -> list[Step]:
    """The steps of a complete text. Raises InvalidRequest for more silence than any text needs."""
    markup, pacing = Markup(wording.tags), _Pacing(wording)
    steps: list[Step] = []
    for part in (*markup.push(text), *markup.flush()):
        found = pieces(part, wording.language) if isinstance(part, str) else []
        steps += pacing.steps(found) if isinstance(part, str) else pacing.other(part)
    return steps


def has_lines(steps: list[Step]) -> bool:
    """Whether there is anything to say: a letter or a digit of any script."""
    return any(isinstance(step, Words) and is_speakable(step.text) for step in steps)


class LiveScript:
    """The steps of a text that arrives in fragments, cut anywhere, even inside a word or bracket.

    As `LiveSegmenter`, which decides when an utterance is complete.
    """

    def __init__(self, wording: Wording, *, unsaid: str = "", said: str = "") -> None:
        """Goes on from the `unsaid` and `said` of another one."""
        self._markup = Markup(wording.tags)
        known = self._markup.push(unsaid)
        pending = "".join(part for part in known if isinstance(part, str))
        self._segmenter = LiveSegmenter(wording.language, pending=pending)
        self._pacing = _Pacing(wording, said)

    @property
    def pending(self) -> str:
        """Text given that may be said once it has waited long enough."""
        return self._segmenter.pending

    @property
    def unsaid(self) -> str:
        """The same, and behind it what may be the beginning of a bracket."""
        return self._segmenter.pending + self._markup.held

    @property
    def said(self) -> str:
        """The end of the utterance before, which decides what pause comes next."""
        return self._pacing.before[-_SAID_CHARACTERS:]

    def push(self, fragment: str) -> list[Step]:
        """Take in a fragment; the steps it completes, often none."""
        return self._steps(self._markup.push(fragment))

    def overdue(self) -> list[Step]:
        """What can be said now without cutting a word."""
        return list(self._pacing.steps(self._segmenter.overdue()))

    def flush(self) -> list[Step]:
        """Everything that is left."""
        return [
            *self._steps(self._markup.flush()),
            *self._pacing.steps(self._segmenter.flush()),
        ]

    def drop(self) -> str:
        """Forget what is left and return it."""
        return self._segmenter.drop() + self._markup.drop()

    def _steps(self, parts: list[Part]) -> list[Step]:
        steps: list[Step] = []
        for part in parts:
            if isinstance(part, str):
                steps += self._pacing.steps(self._segmenter.push(part))
                continue
            if isinstance(part, AskedPause):  # nothing belongs together across it
                steps += self._pacing.steps(self._segmenter.flush())
            steps += self._pacing.other(part)
        return steps


class _Pacing:
    """Puts pauses between utterances; counts those that were asked for, and what is spoken."""

    def __init__(self, wording: Wording, before: str = "") -> None:
        self.before = before  # the last utterance and the space after it; empty after a pause
        self._wording = wording
        self._silence_s = 0.0
        self._written_count = 0
        self._spoken_count = 0

    def steps(self, found: list[str]) -> Iterator[Step]:
        """Utterances, given with the white space around them, as they are said."""
        for written in found:
            if not written.strip():
                self.before += written
                continue
            boundary = _boundary(self.before, written)
            if boundary.value > 0 and self.before.strip():
                yield BoundaryPause(boundary.value)
            self.before = written
            spoken = self._wording.lexicon.spoken(written)
            self._count(written, spoken)
            for piece in pieces(spoken, self._wording.language) if spoken != written else [written]:
                if text := piece.strip():
                    yield Words(text)

    def other(self, part: AskedPause | Remark) -> list[Step]:
        if isinstance(part, AskedPause):
            self.before = ""
            self._silence_s += part.seconds
            if self._silence_s > MAX_SILENCE_S:
                raise InvalidRequest(
                    f"the pauses of one text last at most {MAX_SILENCE_S:g} s together",
                    field="input.text",
                    reason="TOO_MUCH_SILENCE",
                )
        return [part]

    def _count(self, written: str, spoken: str) -> None:
        self._written_count += len(written)
        self._spoken_count += len(spoken)
        most = MAX_SPOKEN_PER_WRITTEN * self._written_count + SPARE_CHARACTERS
        if self._spoken_count > most:
            raise InvalidRequest(
                f"the pronunciations make {self._spoken_count} characters of the first "
                f"{self._written_count}, at most {most} are spoken",
                field="pronunciations",
                reason="TOO_MUCH_SPOKEN",
            )


def _boundary(before: str, after: str) -> Boundary:
    if is_paragraph_end(before, after):
        return Boundary.PARAGRAPH
    text = before.rstrip()
    if _SENTENCE_END.search(text):
        return Boundary.SENTENCE
    if _CLAUSE_END.search(text) or "\n" in before[len(text) :]:
        return Boundary.CLAUSE
    return Boundary.WORD
