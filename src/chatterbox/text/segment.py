"""Segments: text → utterances of bounded length, whole or as it arrives.

Nothing is lost and nothing is said twice: the segments one after the other are the text, but
for white space at the cuts.
"""

import re
from collections.abc import Iterator

import sentencex

MAX_UTTERANCE_CHARACTERS = 300  # beyond it the models begin to skip and repeat
MIN_UTTERANCE_CHARACTERS = 40  # shorter sentences join a neighbour: they sound better together
LIVE_SENTENCE_CHARACTERS = 10  # of live text: "Oh! Hi." waits for what follows
LIVE_CLAUSE_CHARACTERS = 120  # of live text: this much without a sentence's end is cut at a clause

_CLAUSE_END = re.compile(
    r"[,;:\u2014\u2013)\]\u061b\u060c](?=\s)"  # comma to Arabic comma, when space follows
    r"|[\u3001\uff0c\uff1b\uff1a]"  # the wide ones of Chinese and Japanese
    r"|\n"
)
_FULL_STOPS = frozenset("\u3002\uff01\uff1f")  # with these no space need follow
_SPACE = re.compile(r"\s")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def is_speakable(text: str) -> bool:
    """Whether there is anything to say: a letter or a digit of any script."""
    return any(character.isalnum() for character in text)


def segments(
    text: str, language: str = "en", *, limit: int = MAX_UTTERANCE_CHARACTERS
) -> list[str]:
    """The utterances of a complete text, each stripped, none empty, none over `limit` long.

    Sentences stay whole while they fit; a longer one is cut at its last clause mark within the
    limit, else between words, else (one endless word) anywhere. Short sentences and stretches
    without anything to say join a neighbour when both fit, but not across a blank line.
    """
    return [text for piece in pieces(text, language, limit=limit) if (text := piece.strip())]


def pieces(text: str, language: str = "en", *, limit: int = MAX_UTTERANCE_CHARACTERS) -> list[str]:
    """The same with the white space around them; one after the other, exactly the text."""
    joined: list[str] = []
    for piece in _pieces(text, language, limit):
        if joined and _belong_together(joined[-1], piece, limit):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def is_paragraph_end(before: str, after: str) -> bool:
    """Whether there is a blank line between two pieces."""
    space = before[len(before.rstrip()) :] + after[: len(after) - len(after.lstrip())]
    return _BLANK_LINE.search(space.replace("\r\n", "\n")) is not None


def _pieces(text: str, language: str, limit: int) -> Iterator[str]:
    """Sentences, cut to the limit; together exactly the text."""
    for sentence in sentencex.segment(_primary(language), text):
        rest = sentence
        while len(rest.strip()) > limit:
            cut = _cut_within(rest, limit)
            yield rest[:cut]
            rest = rest[cut:]
        yield rest


def _primary(language: str) -> str:
    return language.split("-")[0].lower() or "en"


def _cut_within(text: str, limit: int) -> int:
    """Where to cut a text that is too long: after a clause, a word, or just the limit."""
    lead = len(text) - len(text.lstrip())
    window = text[: lead + limit]
    clause_ends = [match.end() for match in _CLAUSE_END.finditer(window)]
    # A cut right at the start would leave a crumb; from a third on it is a phrase.
    good = [end for end in clause_ends if end - lead >= limit // 3]
    if good:
        return good[-1]
    spaces = [match.end() for match in _SPACE.finditer(window) if match.end() > lead + 1]
    return spaces[-1] if spaces else lead + limit


def _belong_together(before: str, piece: str, limit: int) -> bool:
    if len((before + piece).strip()) > limit:
        return False
    if not is_speakable(before) or not is_speakable(piece):
        return True
    short = min(len(before.strip()), len(piece.strip())) < MIN_UTTERANCE_CHARACTERS
    return short and not is_paragraph_end(before, piece)


class LiveSegmenter:
    """Segments text that arrives in fragments, cut anywhere, even inside a word.

    `push` returns what is complete: whole sentences, or clauses of one that goes on long, with the
    white space around them. What may still continue is kept: `flush` gives all of it, `overdue` all but a word that may
    be unfinished. Feed it no clock: the caller decides when text has waited long enough.
    """

    def __init__(
        self,
        language: str = "en",
        *,
        limit: int = MAX_UTTERANCE_CHARACTERS,
        pending: str = "",
    ) -> None:
        """Goes on from another one's `pending` text."""
        self._language = language
        self._limit = limit
        self._buffer = pending

    @property
    def pending(self) -> str:
        """Text given and not yet returned."""
        return self._buffer

    def push(self, fragment: str) -> list[str]:
        """Take in a fragment; the utterances it completes, often none."""
        self._buffer += fragment
        ready: list[str] = []
        while length := self._complete_length():
            ready += self._take(length)
        return ready

    def overdue(self) -> list[str]:
        """What can be said now without cutting a word; the whole rest if it is one word."""
        words_end = max((m.end() for m in _SPACE.finditer(self._buffer.rstrip())), default=0)
        ends_with_word = bool(self._buffer) and self._buffer[-1].isalnum()
        cut = words_end if ends_with_word and self._buffer[:words_end].strip() else None
        return self._take(len(self._buffer) if cut is None else cut)

    def flush(self) -> list[str]:
        """Everything that is left."""
        return self._take(len(self._buffer))

    def drop(self) -> str:
        """Forget what is left and return it."""
        dropped, self._buffer = self._buffer, ""
        return dropped

    def _complete_length(self) -> int:
        """How much of the buffer can be spoken; 0 when it may all go on."""
        buffer = self._buffer
        sentences_end = self._sentences_end()
        if sentences_end:
            return sentences_end
        if len(buffer.strip()) > LIVE_CLAUSE_CHARACTERS:
            ends = [match.end() for match in _CLAUSE_END.finditer(buffer)]
            if ends and ends[-1] >= LIVE_CLAUSE_CHARACTERS // 3:
                return ends[-1]
        if len(buffer.strip()) > self._limit:
            return _cut_within(buffer, self._limit)
        return 0

    def _sentences_end(self) -> int:
        """The end of the last sentence known to be complete, 0 if there is none to speak.

        A sentence is complete when another begins. Where the buffer ends in space, a letter put
        behind it tells: it begins a sentence after "I saw him. ", but not after "I saw Dr. ".
        """
        settled = self._buffer[-1:].isspace() or self._buffer[-1:] in _FULL_STOPS
        probed = self._buffer + ("X" if settled else "")
        last = (sentencex.segment(_primary(self._language), probed) or [""])[-1]
        complete = probed[: len(probed) - len(last)].rstrip()
        enough = len(complete.strip()) >= LIVE_SENTENCE_CHARACTERS and is_speakable(complete)
        return len(complete) if enough and last.strip() else 0

    def _take(self, length: int) -> list[str]:
        ready, self._buffer = self._buffer[:length], self._buffer[length:]
        return pieces(ready, self._language, limit=self._limit) if ready else []
