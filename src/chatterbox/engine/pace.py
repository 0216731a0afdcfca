"""The pace of speech: how many tokens a text takes, and the fewest and the most it can.

The bounds are wide: they catch utterances that stop early or run away. Nobody says a letter in
less than half a token.
"""

USUAL_PER_CHARACTER = 1.7  # of everyday English: about 15 characters a second
LEAST_PER_CHARACTER = 0.45  # 55 characters a second
_BASE_TOKENS = 50  # two seconds of pauses, for any text
_SPELLED_OUT = 15  # a digit, a sign or an ideograph stands for a word
_IDEOGRAPH_MORE = 4  # than a letter: four syllables a second
_LETTER = 4  # slow speech, 6 characters a second
_MARK = 3  # a pause at a comma; many marks are not spoken at all
_IDEOGRAPHS = 0x2E80  # from here on, and in Hangul, a character is a syllable or more


def usual_tokens(text: str) -> int:
    """About what this text takes; a guess for planning, and a poor one for figures and signs."""
    ideographs = sum(ord(character) >= _IDEOGRAPHS for character in text)
    return max(4, round(len(text) * USUAL_PER_CHARACTER + ideographs * _IDEOGRAPH_MORE))


def most_tokens(text: str) -> int:
    """A length no sound utterance of this text reaches."""
    return _BASE_TOKENS + sum(_most(character) for character in text)


def least_tokens(text: str) -> int:
    """A length every sound utterance of this text exceeds; 1 for a letter or two."""
    spoken = sum(character.isalpha() for character in text)
    return max(1, int(spoken * LEAST_PER_CHARACTER))


def _most(character: str) -> int:
    if character.isspace():
        return 1
    if ord(character) >= _IDEOGRAPHS or character.isnumeric():
        return _SPELLED_OUT
    if character.isalpha():
        return _LETTER
    return _MARK if character in ".,;:!?-'\"()" else _SPELLED_OUT
