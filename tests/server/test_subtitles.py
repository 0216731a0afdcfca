"""Subtitles: cues that readers can follow, in both formats."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import synthesis_pb2 as pb
from server.subtitles import MAX_CHARACTERS, MAX_S, check_subtitles, cues, write_subtitles


def word(text: str, start_s: float, end_s: float, segment: int = 0) -> pb.WordTiming:
    timing = pb.WordTiming(word=text, segment_index=segment)
    timing.start_offset.FromTimedelta(timedelta(seconds=start_s))
    timing.end_offset.FromTimedelta(timedelta(seconds=end_s))
    return timing


WORDS = [
    word("Fish", 0.0, 0.4),
    word("&", 0.4, 0.5),
    word("chips.", 0.5, 1.0),
    word("Later,", 2.5, 3.0),
    word("elsewhere.", 3661.0, 3662.5, 1),
]


def test_as_subrip(tmp_path: Path) -> None:
    write_subtitles(str(tmp_path / "a.srt"), WORDS)
    assert (tmp_path / "a.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:01,000\nFish & chips.\n\n"
        "2\n00:00:02,500 --> 00:00:03,000\nLater,\n\n"
        "3\n01:01:01,000 --> 01:01:02,500\nelsewhere.\n\n"
    )


def test_as_webvtt(tmp_path: Path) -> None:
    write_subtitles(str(tmp_path / "a.vtt"), WORDS[:3])
    assert (tmp_path / "a.vtt").read_text() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nFish &amp; chips.\n\n"
    )


@given(st.lists(st.tuples(st.integers(1, 12), st.floats(0.05, 1.5)), max_size=60))
def test_cues_have_every_word_and_stay_short(drawn: list[tuple[int, float]]) -> None:
    words, now_s = [], 0.0
    for length, seconds in drawn:
        words.append(word("x" * length, now_s, now_s + seconds))
        now_s += seconds
    found = cues(words)
    assert " ".join(cue.text for cue in found).split() == [each.word for each in words]
    assert all(len(cue.text) <= MAX_CHARACTERS for cue in found)
    assert all(cue.end_s - cue.start_s <= MAX_S + 1e-6 for cue in found)


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="srt"):
        check_subtitles("words.txt")
