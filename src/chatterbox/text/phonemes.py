"""Phonemes: English text to the phoneme string that the tiny family reads.

The alphabet is misaki's (one character per phoneme, stress marks before the vowel, punctuation
kept). The grapheme-to-phoneme step is hibari's: lexicon, tagger and a small network for unknown
words; it spells out digits, currency, dates and symbols itself.
"""

from functools import lru_cache
from typing import Any, Protocol

from chatterbox.errors import InvalidRequest

_STRESS = "ˈˌ"
_VOWELS = "AIOQWYiuaeoɑɐɒæɔəɚɛɜɪɨʊʌᵻᵊ"  # noqa: RUF001
_CONSONANTS = "bdfhjklmnpstvwzðŋɡɹɾʃʒʔʤʧθTx"  # noqa: RUF001
_MARKS = "ː"  # noqa: RUF001
_PUNCTUATION = ' .,?!;:—…"“”()'
STOP, START = "[STOP]", "[START]"

SYMBOLS: tuple[str, ...] = (
    STOP,
    START,
    *_PUNCTUATION,
    *_STRESS,
    *_MARKS,
    *_CONSONANTS,
    *_VOWELS,
    *(stress + vowel for stress in _STRESS for vowel in _VOWELS),
)
"""Index = id. A stressed vowel is one symbol: that shortens the text by about a sixth."""

_KNOWN = frozenset("".join(SYMBOLS[2:]))


class Phonemizer(Protocol):
    """Anything that turns one line of English into a phoneme string."""

    def __call__(self, text: str) -> str: ...


@lru_cache(maxsize=1)
def english_phonemizer() -> Phonemizer:
    """Hibari's American English G2P, loaded once per process (about 0.5 s)."""
    from hibari.g2p import G2P  # loads lexicons: only when the tiny family is used

    g2p: Any = G2P()

    def phonemize(text: str) -> str:
        return str(g2p(text))

    return phonemize


def phonemes_of(text: str) -> str:
    """The phoneme string of one utterance, single-spaced, made of `SYMBOLS` only.

    Digits, abbreviations and signs are read out; characters no reader knows (emoji, other
    scripts) are dropped. Raises InvalidRequest when nothing speakable remains.
    """
    spelled = english_phonemizer()(" ".join(text.split()))
    kept = " ".join("".join(c for c in spelled if c in _KNOWN).split())
    if not any(c in _VOWELS or c in _CONSONANTS for c in kept):
        raise InvalidRequest("the text contains nothing that can be spoken", field="text")
    return kept


def is_sound(symbol: str) -> bool:
    """Whether a symbol is heard: no mark, no space."""
    return symbol[-1] in _VOWELS or symbol[-1] in _CONSONANTS


def symbols_of(phonemes: str) -> list[str]:
    """Split a phoneme string into symbols, stressed vowels together (greedy, left to right)."""
    symbols: list[str] = []
    position = 0
    while position < len(phonemes):
        pair = phonemes[position : position + 2]
        size = 2 if len(pair) == 2 and pair[0] in _STRESS and pair[1] in _VOWELS else 1
        symbols.append(phonemes[position : position + size])
        position += size
    return symbols
