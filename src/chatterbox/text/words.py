"""Where the words of a text are among its ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WordSpan:
    """A word as it is written, with the marks at it, and its ids: `first` to before `stop`."""

    text: str
    first: int
    stop: int


def spans_of(
    text: str,
    pieces: Sequence[tuple[int, int]],
    count_of: Callable[[str], int],
) -> list[WordSpan]:
    """The words of a text whose spoken words have their ids at `pieces`.

    `count_of` tells how many spoken words one written word makes: "1999" is three, a dash none.
    Empty where that does not add up, as with "Dr. 5th": then nobody can say which is which.
    """
    written = text.split()
    counts = [1] * len(written) if len(written) == len(pieces) else [*map(count_of, written)]
    if sum(counts) != len(pieces):
        return []
    spans: list[WordSpan] = []
    place = 0
    for word, count in zip(written, counts, strict=True):
        if count:
            spans.append(WordSpan(word, pieces[place][0], pieces[place + count - 1][1]))
        place += count
    return spans
