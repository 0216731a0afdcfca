"""Lexicon: words that a caller wants said as others are written."""

import re
from collections.abc import Sequence

from chatterbox.speech import Pronunciation


class Lexicon:
    """The pronunciations of a request. Where two begin at one place, the longer one is meant."""

    def __init__(self, pronunciations: Sequence[Pronunciation] = ()) -> None:
        self._spoken_as = {each.phrase.strip(): each.spoken_as for each in pronunciations}
        longest_first = sorted(self._spoken_as, key=len, reverse=True)
        written = "|".join(re.escape(phrase) for phrase in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{written})(?!\w)") if written else None

    def spoken(self, text: str) -> str:
        """The text as it is to be said. What was put in is not looked up again."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._spoken_as[match[0]], text)
