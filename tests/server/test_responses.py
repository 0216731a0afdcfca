"""Events to messages: bytes, numbers and the clock of what is heard, without a server."""

import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import Encoding
from chatterbox.audio.output import OutputFormat
from chatterbox.speech import (
    Audio,
    FlushDone,
    Interrupt,
    Interrupted,
    Silence,
    SpeechEvent,
    Started,
    Summary,
    UtteranceDone,
    Warned,
)
from chatterbox.v1 import synthesis_pb2 as pb
from server.responses import Responses, duration

RATE_HZ = 24_000
STARTED = Started(model="tiny", voice="ada", sample_rate_hz=RATE_HZ, seed=2**63 - 1)


SUMMARY = Summary(
    character_count=10,
    segment_count=2,
    audio_duration_s=1.0,
    time_to_first_audio_s=0.25,
    synthesis_duration_s=0.75,
    compute_duration_s=0.5,
    real_time_factor=0.75,
    underrun_count=3,
    underrun_s=0.125,
)


def responses(**form: Any) -> Responses:
    wire = Responses(request_id="r1", form=OutputFormat(**form))
    wire.to(STARTED)
    return wire


def audio(samples: int = RATE_HZ, segment: int = 0, offset: int = 0, **more: Any) -> Audio:
    wave = np.sin(np.arange(samples) / 20) * (0.0 if "silence" in more else 0.5)
    clip = Clip(wave.astype(np.float32), RATE_HZ)
    return Audio(clip=clip, sequence=0, offset_samples=offset, segment=segment, **more)


def chunks(wire: Responses, *events: SpeechEvent) -> list[pb.AudioChunk]:
    found = [response for event in events for response in wire.to(event)]
    return [response.audio for response in found if response.HasField("audio")]


def seconds(moment: Duration) -> float:
    return moment.seconds + moment.nanos / 1e9


def test_started_tells_the_form_and_the_request_id() -> None:
    form = OutputFormat(encoding=Encoding.MULAW, sample_rate_hz=8_000)
    (response,) = Responses(request_id="r1", form=form).to(STARTED)
    started = response.started
    assert (started.model, started.voice) == ("models/tiny", "voices/ada")
    assert (started.request_id, started.seed) == ("r1", 2**63 - 1)
    assert started.audio_encoding == pb.AUDIO_ENCODING_MULAW
    assert started.sample_rate_hertz == 8_000
    assert not started.watermarked


def test_chunks_are_numbered_and_follow_one_another() -> None:
    found = chunks(
        responses(),
        audio(),
        audio(offset=RATE_HZ),
        UtteranceDone(0),
        audio(segment=1, offset=2 * RATE_HZ),
        UtteranceDone(1),
    )
    assert [chunk.sequence for chunk in found] == list(range(len(found)))
    heard = 0
    for chunk in found:
        assert seconds(chunk.offset) == pytest.approx(heard / RATE_HZ, abs=1e-8)
        assert len(chunk.audio_content) % 2 == 0
        heard += len(chunk.audio_content) // 2
    assert heard == 3 * RATE_HZ
    assert [chunk.segment_index for chunk in found] == sorted(c.segment_index for c in found)


def test_samples_are_little_endian() -> None:
    (chunk,) = chunks(responses(), audio(240))
    expected = np.round(np.sin(np.arange(240) / 20) * 0.5 * 32_767)
    assert struct.unpack("<240h", chunk.audio_content) == pytest.approx(expected, abs=1)


def test_only_the_first_chunk_of_a_wav_has_the_header() -> None:
    first, *rest = chunks(responses(encoding=Encoding.WAV), audio(), audio(), UtteranceDone(0))
    assert first.audio_content[:4] == b"RIFF"
    assert all(chunk.audio_content[:4] != b"RIFF" for chunk in rest)


def test_an_utterance_that_ends_without_a_word_has_left_when_the_next_begins() -> None:
    """An interrupt ends one so."""
    found = chunks(responses(sample_rate_hz=8_000), audio(), audio(segment=1))
    assert sum(len(chunk.audio_content) for chunk in found) > 2 * 8_000


def test_silence_is_exact_unless_it_only_divides() -> None:
    wire = responses(speaking_rate=2.0)
    (asked,) = chunks(wire, audio(36_000, silence=Silence.ASKED))
    (usual,) = chunks(wire, audio(12_000, silence=Silence.BOUNDARY))
    assert asked.audio_content == bytes(2 * 36_000)
    assert usual.audio_content == bytes(2 * 6_000)


@pytest.mark.parametrize("speaking_rate", [0.5, 1.0, 2.0])
def test_marks_are_on_the_clock_of_what_is_heard(speaking_rate: float) -> None:
    wire = responses(speaking_rate=speaking_rate, sample_rate_hz=16_000)
    chunks(wire, audio(), UtteranceDone(0))
    *_, done = wire.to(FlushDone(flush_id="a", offset_samples=RATE_HZ))
    assert done.flush_done.flush_id == "a"
    assert seconds(done.flush_done.offset) == pytest.approx(1 / speaking_rate, abs=0.001)
    chunks(wire, audio(segment=1, offset=RATE_HZ))
    (cut,) = wire.to(Interrupted(offset_samples=2 * RATE_HZ, dropped_text="rest"))
    assert cut.interrupted.dropped_text == "rest"
    assert seconds(cut.interrupted.offset) == pytest.approx(2 / speaking_rate, abs=0.3)
    (chunk, *_) = chunks(wire, audio(segment=2, offset=2 * RATE_HZ), UtteranceDone(2))
    assert chunk.offset == cut.interrupted.offset


def test_an_interrupt_is_understood_by_the_models_clock() -> None:
    wire = responses(speaking_rate=2.0)
    chunks(wire, audio(), UtteranceDone(0))
    chunks(wire, audio(segment=1, offset=RATE_HZ), UtteranceDone(1))
    for heard_s, model_s in [(0.0, 0.0), (0.25, 0.5), (0.6, 1.2)]:
        understood = wire.understood(Interrupt(heard_s))
        assert isinstance(understood, Interrupt)
        assert understood.playback_offset_s == pytest.approx(model_s, abs=0.01)
    assert wire.understood(Interrupt()) == Interrupt()


def test_a_warning_keeps_what_it_says() -> None:
    (response,) = responses().to(Warned(code="ODD", message="It is odd."))
    assert (response.warning.code, response.warning.message) == ("ODD", "It is odd.")


def test_the_summary_tells_of_what_was_heard() -> None:
    wire = responses(speaking_rate=0.5)
    chunks(wire, audio(), UtteranceDone(0))
    *_, response = wire.to(SUMMARY)
    told = response.summary
    assert (told.character_count, told.segment_count) == (10, 2)
    assert seconds(told.audio_duration) == pytest.approx(2.0, abs=1e-4)
    assert seconds(told.time_to_first_audio) >= 0.25
    assert told.compute_duration == Duration(nanos=500_000_000)
    assert told.real_time_factor == pytest.approx(seconds(told.synthesis_duration) / 2, rel=1e-3)
    assert told.underrun_count == 0


def test_underruns_are_those_of_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as fast, a second of speech is heard in half of one."""
    now_s = 100.0
    monkeypatch.setattr("server.responses.time.monotonic", lambda: now_s)
    wire = responses(speaking_rate=2.0)
    chunks(wire, audio(owed_since_s=99.0), UtteranceDone(0))
    now_s += 0.75
    chunks(wire, audio(segment=1, offset=RATE_HZ, owed_since_s=99.0), UtteranceDone(1))
    *_, response = wire.to(SUMMARY)
    assert response.summary.underrun_count == 1
    assert seconds(response.summary.underrun_duration) == pytest.approx(0.25, abs=0.02)


@given(st.floats(0, 2**40))
def test_a_moment_is_right_to_the_nanosecond(moment_s: float) -> None:
    told = duration(moment_s)
    assert 0 <= told.nanos < 10**9
    assert seconds(told) == pytest.approx(moment_s, abs=1e-9, rel=1e-15)


def test_others_go_on_at_the_very_byte() -> None:
    form = {"sample_rate_hz": 16_000, "encoding": Encoding.WAV}
    events: list[SpeechEvent] = [
        audio(RATE_HZ),
        audio(7_000, offset=RATE_HZ),
        UtteranceDone(0),
        audio(1_000, silence=Silence.ASKED),
        audio(RATE_HZ, segment=1, offset=40_000),
        UtteranceDone(1),
    ]
    whole = chunks(responses(**form), *events)
    for place in range(1, len(events)):
        first = responses(**form)
        second = Responses(request_id="r1", form=OutputFormat(**form))
        before = chunks(first, *events[:place])
        second.restore(first.state())
        assert before + chunks(second, *events[place:]) == whole
