"""SpeechPlace: how far a stream of speech has come, so that another server can go on with it.

Plain values. A place is that behind one event of the stream: whoever has passed on that event
and loses the server asks another one for what follows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chatterbox.account import Balance
from chatterbox.engine.sequence import Bookmark
from chatterbox.speech import Interrupted, Silence, Warned


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Text still to be heard, at least in part."""

    text: str
    segment: int
    begun_at: int | None = None  # the offset of its first sample, if any of it was heard
    bookmark: Bookmark | None = None  # None: not begun


@dataclass(frozen=True, slots=True)
class FlushMark:
    """A flush to be acknowledged when everything before it has been heard."""

    flush_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An event whose turn has not come."""

    event: Interrupted | Warned


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence whose turn has not come."""

    seconds: float
    kind: Silence


Line = Passage | FlushMark | Notice | Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlace:
    """The script that is left, and the account of what was said."""

    script: tuple[Line, ...] = ()
    heard: tuple[tuple[str, int], ...] = ()  # recent texts and where they began, in samples
    is_over: bool = False  # nothing follows, the summary was given
    balance: Balance = field(default_factory=Balance)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechPlace:
    """A stream's settings as they were chosen, its session, and what is left of its input."""

    model: str
    voice: str
    seed: int
    session: SessionPlace
    inputs_taken: int = 0  # of a live stream: not needed again
    characters_taken: int = 0
    pending_text: str = ""  # taken, and not an utterance yet
    said_text: str = ""  # the end of the utterance before it


class Journal:
    """Tells the place behind the event that was given last; see `Synthesizer.speak`."""

    def __init__(self) -> None:
        self._tell: Callable[[], SpeechPlace] | None = None

    def keep(self, tell: Callable[[], SpeechPlace]) -> None:
        """Ask this from now on."""
        self._tell = tell

    def place(self) -> SpeechPlace:
        """To be asked while the stream rests at an event."""
        assert self._tell is not None, "there is no place before the first event"
        return self._tell()
