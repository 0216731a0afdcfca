"""Subtitles: words and their times as SubRip (.srt) or WebVTT (.vtt, W3C)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import synthesis_pb2 as pb

# What readers can follow, as broadcasters have it: two lines, and not too long on the screen.
MAX_CHARACTERS = 84
MAX_S = 6.0
PAUSE_S = 0.7  # a new one begins behind such a silence
_SUFFIXES = (".srt", ".vtt")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at once."""

    text: str
    start_s: float
    end_s: float


def check_subtitles(path: str) -> None:
    """Raise InvalidRequest for a file of another kind."""
    if not path.endswith(_SUFFIXES):
        raise InvalidRequest(f"subtitles are {' or '.join(_SUFFIXES)} files, got {path!r}")


def write_subtitles(path: str, words: Iterable[pb.WordTiming]) -> None:
    """Write a file of the kind that its name says; see `check_subtitles`."""
    found = cues(list(words))
    text = _vtt(found) if path.endswith(".vtt") else _srt(found)
    Path(path).write_text(text, encoding="utf-8")


def cues(words: Sequence[pb.WordTiming]) -> list[Cue]:
    """Words put together: each cue is of one utterance, short, and without a long silence."""
    groups: list[list[pb.WordTiming]] = []
    for word in words:
        if groups and _belongs(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [
        Cue(
            " ".join(word.word for word in group),
            _seconds(group[0].start_offset),
            _seconds(group[-1].end_offset),
        )
        for group in groups
    ]


def _belongs(group: Sequence[pb.WordTiming], word: pb.WordTiming) -> bool:
    length = sum(len(each.word) + 1 for each in group) + len(word.word)
    return (
        group[-1].segment_index == word.segment_index
        and length <= MAX_CHARACTERS
        and _seconds(word.end_offset) - _seconds(group[0].start_offset) <= MAX_S
        and _seconds(word.start_offset) - _seconds(group[-1].end_offset) < PAUSE_S
    )


def _seconds(offset: Duration) -> float:
    return float(offset.ToNanoseconds()) / 1e9


def _srt(found: Sequence[Cue]) -> str:
    return "".join(
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(found, start=1)
    )


def _vtt(found: Sequence[Cue]) -> str:
    shown = "".join(
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_escaped(cue.text)}\n\n"
        for cue in found
    )
    return f"WEBVTT\n\n{shown}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
