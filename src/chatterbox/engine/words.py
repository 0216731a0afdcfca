"""WordClock: when each word of an utterance is said, from where T3 looked while it drew.

The way through the text is the likeliest one that never goes back and skips little, found by
dynamic programming (A. Viterbi, 1967) and settled chunk by chunk, as the sound leaves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.speech import Word
from chatterbox.text.words import WordSpan

_LONGEST_STEP = 4  # places of the text that one token, 40 ms, may pass
_FLOOR = 1e-6  # of attention: what was hardly looked at is unlikely, not impossible
# Whoever draws looks at what was just said. Measured against an independent aligner.
_START_LAG_S, _END_LAG_S = 0.08, 0.04


class WordClock:
    """One utterance's words. Times are seconds from its first sample."""

    def __init__(self, spans: Sequence[WordSpan], *, place: int = 0, told: int = 0) -> None:
        """`spans` are places among the text's ids as T3 sees them, in order, not overlapping.

        `place` and `told` are those of a clock that another engine had.
        """
        self.place = place  # in the text, at the last token that was settled
        self.told = told  # words given so far
        self._spans = spans
        self._rows: list[NDArray[np.float32]] = []  # of tokens that are not settled
        self._settled = 0  # tokens
        self._begun_at: int | None = None  # the token at which the next word began
        self._ended_s = 0.0  # when the last one did

    def begin_at(self, token: int) -> None:
        """The tokens before this one were settled elsewhere."""
        self._settled = token

    def look(self, rows: NDArray[np.float32]) -> None:
        """The attention (n, places) of the next tokens; they need not be kept in the end."""
        self._rows.extend(np.log(rows + _FLOOR))

    def until(self, end: int, *, is_last: bool) -> tuple[Word, ...]:
        """The words that end before token `end`, but for those given before; at last, all."""
        count = min(end - self._settled, len(self._rows))
        path = self._path()[:count]
        words: list[Word] = []
        for token, place in enumerate(path, start=self._settled):
            self._pass(token, place, words)
        if path:
            self.place = path[-1]
        del self._rows[:count]
        self._settled += count
        while is_last and self.told < len(self._spans):
            self._tell(self._begun_at if self._begun_at is not None else end, end, words)
        return tuple(words)

    def _pass(self, token: int, place: int, words: list[Word]) -> None:
        """At this token the speaker is at this place of the text."""
        while self.told < len(self._spans):
            span = self._spans[self.told]
            if self._begun_at is None and place >= span.first:
                self._begun_at = token
            if place < span.stop:
                return
            self._tell(token if self._begun_at is None else self._begun_at, token, words)

    def _tell(self, begun: int, ended: int, words: list[Word]) -> None:
        start_s = max(self._ended_s, begun / TOKEN_RATE_HZ - _START_LAG_S)
        end_s = self._ended_s = max(start_s, ended / TOKEN_RATE_HZ - _END_LAG_S)
        words.append(Word(text=self._spans[self.told].text, start_s=start_s, end_s=end_s))
        self.told += 1
        self._begun_at = None

    def _path(self) -> list[int]:
        """The likeliest place at each token that is not settled."""
        if not self._rows:
            return []
        places = self._rows[0].shape[0]
        score = np.full(places, -np.inf, np.float32)
        score[self.place] = 0.0
        backs: list[NDArray[np.int64]] = []
        for row in self._rows:
            shifted = np.full((_LONGEST_STEP + 1, places), -np.inf, np.float32)
            for step in range(_LONGEST_STEP + 1):
                shifted[step, step:] = score[: places - step]
            best = shifted.argmax(0)
            backs.append(best)
            score = shifted[best, np.arange(places)] + row
        place = int(score.argmax())
        path = [place]
        for back in reversed(backs[1:]):
            place -= int(back[place])
            path.append(place)
        return path[::-1]
