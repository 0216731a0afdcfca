"""Texts to speak: of an exact length for timing, of any length for a load."""

import random
import zlib

from chatterbox.models.t3.config import T3Config

_VOCABULARY = (
    "a about after again all and any are around ask away back before below better between "
    "boat bread bridge call carry city clear cloud come corner country cover day door down "
    "early evening every family field find first garden give green ground hand harbour have "
    "hear home house island keep kind lamp late leave letter light little long look market "
    "morning mother mountain music never night north of old open over paper people place "
    "quiet rain reach river road room round school sea second seven she short side silver "
    "small some song south stand station stone story street summer table tell that the there "
    "they thing three through time today town train tree two under until walk wall warm water "
    "way week well were west where white wind window winter with word work world year young"
)
_WORDS = tuple(_VOCABULARY.split())


def text_of(letters: int, rng: random.Random) -> str:
    """Words of exactly so many letters in all, the last one cut to fit, and a full stop."""
    words: list[str] = []
    left = letters
    while left > 0:
        word = rng.choice(_WORDS)[:left]
        words.append(word)
        left -= len(word)
    return " ".join(words).capitalize() + "."


def sentences(count: int, rng: random.Random) -> str:
    """So many sentences of three to twelve words."""
    return " ".join(
        " ".join(rng.choices(_WORDS, k=rng.randint(3, 12))).capitalize() + "." for _ in range(count)
    )


class LetterTokenizer:
    """Text ids without files, for networks that have learnt nothing.

    A fixed number of characters becomes one id, any one of the vocabulary but the frame's.
    """

    def __init__(self, t3: T3Config, *, characters_per_id: int) -> None:
        framed = t3.start_text is not None and t3.stop_text is not None
        self._first = 1 + max(t3.start_text or 0, t3.stop_text or 0) if framed else 0
        self._count = t3.text_vocabulary - self._first
        self._per_id = characters_per_id

    def encode(self, text: str, language: str) -> list[int]:
        pieces = (text[at : at + self._per_id] for at in range(0, len(text), self._per_id))
        return [self._first + zlib.crc32(piece.encode()) % self._count for piece in pieces]
