"""Lines: what a session's script is made of."""

import time
from dataclasses import dataclass

from chatterbox.engine.sequence import Bookmark
from chatterbox.engine.stream import SpeechStream
from chatterbox.place import FlushMark, Line, Notice, Passage, Pause
from chatterbox.speech import Interrupted, Silence, Warned


@dataclass(eq=False, slots=True)
class Spoken:
    """A line to be heard."""

    text: str
    segment: int
    given_s: float  # when its text was known
    stream: SpeechStream | None = None
    begun_at: int | None = None  # the offset of its first sample, once delivered
    begun: Bookmark | None = None  # by another engine

    @property
    def bookmark(self) -> Bookmark | None:
        """Behind what was heard of it."""
        latest = None if self.stream is None else self.stream.latest
        return self.begun if latest is None else latest.bookmark


@dataclass(eq=False, slots=True)
class Silent:
    """Silence of some seconds; what only divides is left out where nothing was said before."""

    seconds: float
    kind: Silence
    given_s: float


@dataclass(eq=False, slots=True)
class Flushed:
    """Once this line is reached, everything before it has been heard."""

    flush_id: str


@dataclass(eq=False, slots=True)
class Note:
    """An event to pass on when its turn comes."""

    event: Interrupted | Warned


ScriptLine = Spoken | Silent | Flushed | Note


def kept(line: ScriptLine) -> Line:
    """A line of the script as a value."""
    match line:
        case Spoken():
            return Passage(
                text=line.text,
                segment=line.segment,
                begun_at=line.begun_at,
                bookmark=line.bookmark,
            )
        case Silent():
            return Pause(line.seconds, line.kind)
        case Flushed():
            return FlushMark(line.flush_id)
        case Note():
            return Notice(line.event)


def restored(line: Line) -> ScriptLine:
    """A line that was kept, to be said by this process."""
    match line:
        case Passage():
            return Spoken(
                line.text,
                line.segment,
                given_s=time.monotonic(),
                begun_at=line.begun_at,
                begun=line.bookmark,
            )
        case Pause():
            return Silent(line.seconds, line.kind, given_s=time.monotonic())
        case FlushMark():
            return Flushed(line.flush_id)
        case Notice():
            return Note(line.event)
