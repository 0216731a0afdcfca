"""Places in a stream as protobuf and back; see `chatterbox.place`."""

from chatterbox.account import Balance
from chatterbox.engine.sequence import Bookmark, Finish
from chatterbox.place import FlushMark, Line, Notice, Passage, Pause, SessionPlace, SpeechPlace
from chatterbox.speech import Interrupted, Silence, Warned
from chatterbox.worker.v1 import resume_pb2 as pb

_FINISHES = {
    None: pb.Bookmark.FINISH_UNSPECIFIED,
    Finish.STOPPED: pb.Bookmark.FINISH_STOPPED,
    Finish.TOO_LONG: pb.Bookmark.FINISH_TOO_LONG,
    Finish.STUCK: pb.Bookmark.FINISH_STUCK,
}
_FINISH_OF = {wire: finish for finish, wire in _FINISHES.items()}
_SINCE_FIRST_TEXT = ("age_s", "ahead_s")  # unset where there is none
_BALANCE_FIELDS = tuple(
    field.name
    for field in pb.SpeechBalance.DESCRIPTOR.fields
    if field.name not in _SINCE_FIRST_TEXT
)


def place_message(place: SpeechPlace) -> pb.ResumeState:
    """A place as a state that lacks what ties it to its call."""
    session = place.session
    return pb.ResumeState(
        model=place.model,
        voice=place.voice,
        seed=place.seed,
        inputs_taken=place.inputs_taken,
        characters_taken=place.characters_taken,
        pending_text=place.pending_text,
        said_text=place.said_text,
        script=[_line_message(line) for line in session.script],
        heard=[pb.HeardText(text=text, begun_at=begun_at) for text, begun_at in session.heard],
        is_over=session.is_over,
        balance=_balance_message(session.balance),
    )


def _line_message(line: Line) -> pb.ScriptLine:
    match line:
        case Passage():
            passage = pb.Passage(text=line.text, segment=line.segment, begun_at=line.begun_at)
            if line.bookmark is not None:
                passage.bookmark.CopyFrom(_bookmark_message(line.bookmark))
            return pb.ScriptLine(passage=passage)
        case FlushMark():
            return pb.ScriptLine(flush_id=line.flush_id)
        case Pause():
            is_asked = line.kind is Silence.ASKED
            return pb.ScriptLine(pause=pb.Pause(seconds=line.seconds, is_asked=is_asked))
        case Notice(event=Warned(code=code, message=message)):
            return pb.ScriptLine(warning=pb.ResumedWarning(code=code, message=message))
        case Notice(event=event):
            assert isinstance(event, Interrupted)
            told = pb.ResumedInterruption(
                offset_samples=event.offset_samples, dropped_text=event.dropped_text
            )
            return pb.ScriptLine(interruption=told)


def _bookmark_message(bookmark: Bookmark) -> pb.Bookmark:
    return pb.Bookmark(
        tokens=bookmark.tokens,
        voiced_count=bookmark.voiced_count,
        finish=_FINISHES[bookmark.finish],
        sound=bookmark.sound,
    )


def _balance_message(balance: Balance) -> pb.SpeechBalance:
    message = pb.SpeechBalance(**{name: getattr(balance, name) for name in _BALANCE_FIELDS})
    for name in _SINCE_FIRST_TEXT:
        if (value := getattr(balance, name)) is not None:
            setattr(message, name, value)
    return message


def place_of(message: pb.ResumeState, *, age_s: float) -> SpeechPlace:
    """The place that a message tells, when it was made `age_s` ago."""
    return SpeechPlace(
        model=message.model,
        voice=message.voice,
        seed=message.seed,
        inputs_taken=message.inputs_taken,
        characters_taken=message.characters_taken,
        pending_text=message.pending_text,
        said_text=message.said_text,
        session=SessionPlace(
            script=tuple(_line_of(line) for line in message.script),
            heard=tuple((each.text, each.begun_at) for each in message.heard),
            is_over=message.is_over,
            balance=_balance_of(message.balance).later(age_s),
        ),
    )


def _line_of(line: pb.ScriptLine) -> Line:
    match line.WhichOneof("line"):
        case "passage":
            passage = line.passage
            return Passage(
                text=passage.text,
                segment=passage.segment,
                begun_at=passage.begun_at if passage.HasField("begun_at") else None,
                bookmark=_bookmark_of(passage.bookmark) if passage.HasField("bookmark") else None,
            )
        case "pause":
            kind = Silence.ASKED if line.pause.is_asked else Silence.BOUNDARY
            return Pause(line.pause.seconds, kind)
        case "warning":
            return Notice(Warned(code=line.warning.code, message=line.warning.message))
        case "interruption":
            told = line.interruption
            return Notice(
                Interrupted(offset_samples=told.offset_samples, dropped_text=told.dropped_text)
            )
        case _:
            return FlushMark(line.flush_id)


def _bookmark_of(bookmark: pb.Bookmark) -> Bookmark:
    return Bookmark(
        tokens=tuple(bookmark.tokens),
        voiced_count=bookmark.voiced_count,
        finish=_FINISH_OF[bookmark.finish],
        sound=bookmark.sound,
    )


def _balance_of(message: pb.SpeechBalance) -> Balance:
    values = {name: getattr(message, name) for name in _BALANCE_FIELDS}
    if message.HasField("age_s"):
        values["age_s"] = message.age_s
    if message.HasField("ahead_s"):
        values["ahead_s"] = message.ahead_s
    return Balance(**values)
