"""Protobuf to domain and back: every branch, without a server."""

import contextlib
import struct
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.clip import Clip
from chatterbox.engine.tone import TONE_FAMILY
from chatterbox.errors import InvalidRequest
from chatterbox.speech import (
    Audio,
    Flush,
    FlushDone,
    Interrupt,
    Interrupted,
    Sampling,
    Started,
    Summary,
    TextFragment,
    Warned,
)
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1 import voice_pb2
from chatterbox.voices.voice import Voice
from server import convert

Request = pb.StreamingSynthesizeRequest


def test_a_request_with_everything_set_keeps_everything() -> None:
    config, text, encoding = convert.speech_request(
        pb.SynthesizeRequest(
            input=pb.SynthesisInput(text="Hello."),
            voice=pb.VoiceSelection(name="voices/ada", model="models/tiny", language_code="pt-BR"),
            audio_config=pb.AudioConfig(audio_encoding=pb.AUDIO_ENCODING_LINEAR16),
            options=pb.SynthesisOptions(seed=1, temperature=0, top_p=0.5, top_k=0),
        )
    )

    assert (text, encoding) == ("Hello.", pb.AUDIO_ENCODING_LINEAR16)
    assert (config.voice, config.model, config.language) == ("ada", "tiny", "pt-BR")
    assert config.sampling == Sampling(seed=1, temperature=0.0, top_p=0.5, top_k=0)


def test_an_unset_option_is_not_a_zero() -> None:
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
    config, _, encoding = convert.speech_request(request)

    assert config.sampling == Sampling()
    assert (config.voice, config.model, config.language) == (None, None, None)
    assert encoding == pb.AUDIO_ENCODING_PCM


def test_every_sampling_parameter_has_an_option_on_the_wire() -> None:
    names = {field.name for field in fields(Sampling)}
    assert names == {field.name for field in pb.SynthesisOptions.DESCRIPTOR.fields}
    assert names == set(convert.OPTIONS)


def test_a_buffer_delay_is_kept_and_its_default_is_a_second() -> None:
    delay = Duration(seconds=2, nanos=500_000_000)
    config = pb.StreamingSynthesizeConfig(max_buffer_delay=delay)
    given_delay, _ = convert.live_config(Request(streaming_config=config))
    default, _ = convert.live_config(Request(streaming_config=pb.StreamingSynthesizeConfig()))

    assert given_delay.max_buffer_delay_s == 2.5
    assert default.max_buffer_delay_s == 1.0


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (Request(input=pb.SynthesisInput(text="He")), TextFragment("He")),
        (Request(input=pb.SynthesisInput(text="")), TextFragment("")),
        (Request(flush=pb.Flush(flush_id="a")), Flush("a")),
        (Request(flush=pb.Flush()), Flush("")),
        (Request(interrupt=pb.Interrupt()), Interrupt()),
        (
            Request(interrupt=pb.Interrupt(playback_offset=Duration(seconds=1, nanos=5))),
            Interrupt(1.000000005),
        ),
        (Request(interrupt=pb.Interrupt(playback_offset=Duration())), Interrupt(0.0)),
    ],
)
def test_every_input_is_understood(message: Request, meant: Any) -> None:
    assert convert.speech_input(message) == meant


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Request(), "REQUIRED"),
        (Request(input=pb.SynthesisInput()), "REQUIRED"),
        (Request(streaming_config=pb.StreamingSynthesizeConfig()), "CONFIG_REPEATED"),
        (Request(flush=pb.Flush(flush_id="x" * 65)), "OUT_OF_RANGE"),
        (Request(interrupt=pb.Interrupt(playback_offset=Duration(nanos=-1))), "OUT_OF_RANGE"),
        (Request(interrupt=pb.Interrupt(playback_offset=Duration(nanos=10**9))), "OUT_OF_RANGE"),
        (Request(interrupt=pb.Interrupt(playback_offset=Duration(seconds=2**60))), "OUT_OF_RANGE"),
    ],
)
def test_a_wrong_input_is_refused(message: Request, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert.speech_input(message)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "message", [Request(), Request(flush=pb.Flush()), Request(input=pb.SynthesisInput(text="Hi"))]
)
def test_a_session_begins_with_its_config(message: Request) -> None:
    with pytest.raises(InvalidRequest, match="first message"):
        convert.live_config(message)


@pytest.mark.parametrize(
    ("field", "live", "whole"),
    [
        ("voice", "streaming_config.voice.name", "voice.name"),
        ("model", "streaming_config.voice.model", "voice.model"),
        ("language", "streaming_config.voice.language_code", "voice.language_code"),
        ("options.top_p", "streaming_config.options.top_p", "options.top_p"),
        ("max_buffer_delay", "streaming_config.max_buffer_delay", "max_buffer_delay"),
        ("text", "input.text", "input.text"),
        ("input.text", "input.text", "input.text"),
        ("flush.flush_id", "flush.flush_id", "flush.flush_id"),
        ("", "", ""),
    ],
)
def test_fields_are_named_as_the_client_wrote_them(field: str, live: str, whole: str) -> None:
    assert convert.wire_field(field, is_live=True) == live
    assert convert.wire_field(field, is_live=False) == whole


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, "REQUIRED"),
        ({"input": pb.SynthesisInput()}, "REQUIRED"),
        ({"audio_config": pb.AudioConfig(audio_encoding=3)}, "UNSUPPORTED_ENCODING"),  # type: ignore[arg-type]
        ({"voice": pb.VoiceSelection(language_code="en_US!")}, "INVALID_LANGUAGE"),
        ({"voice": pb.VoiceSelection(model="tiny")}, "INVALID_NAME"),
        ({"options": pb.SynthesisOptions(top_p=-1)}, "OUT_OF_RANGE"),
    ],
)
def test_a_wrong_request_is_refused(wrong: dict[str, Any], reason: str) -> None:
    text = {"input": pb.SynthesisInput(text="Hello.")} if wrong and "input" not in wrong else {}
    with pytest.raises(InvalidRequest) as caught:
        convert.speech_request(pb.SynthesizeRequest(**text | wrong))
    assert caught.value.reason == reason


@given(st.text(max_size=80) | st.from_regex(r"voices/[a-z0-9-]{1,64}", fullmatch=True))
def test_a_resource_id_has_one_spelling_or_is_refused(name: str) -> None:
    with contextlib.suppress(InvalidRequest):
        found = convert.resource_id(name, collection="voices", field="voice")
        assert f"voices/{found}" == name


def responses(encoding: Any = pb.AUDIO_ENCODING_PCM) -> convert.Responses:
    made = convert.Responses(request_id="r1", encoding=encoding)
    made.response(Started(model="tiny", voice="ada", sample_rate_hz=24_000, seed=2**63 - 1))
    return made


def test_started_carries_resource_names_and_the_request_id() -> None:
    wire = convert.Responses(request_id="r1", encoding=pb.AUDIO_ENCODING_PCM)
    event = Started(model="tiny", voice="ada", sample_rate_hz=24_000, seed=2**63 - 1)

    started = wire.response(event).started
    assert (started.model, started.voice) == ("models/tiny", "voices/ada")
    assert (started.request_id, started.seed) == ("r1", 2**63 - 1)


def audio(sequence: int, offset: int = 0) -> Audio:
    clip = Clip(np.array([0.0, 0.5, -1.0], np.float32), 24_000)
    return Audio(clip=clip, sequence=sequence, offset_samples=offset, segment=4)


def test_audio_is_little_endian_and_tells_where_it_belongs() -> None:
    chunk = responses().response(audio(3, offset=36_000)).audio

    assert struct.unpack("<3h", chunk.audio_content) == (0, 16384, -32767)
    assert (chunk.sequence, chunk.segment_index) == (3, 4)
    assert (chunk.offset.seconds, chunk.offset.nanos) == (1, 500_000_000)


def test_only_the_first_chunk_of_a_wav_has_the_header() -> None:
    wire = responses(pb.AUDIO_ENCODING_LINEAR16)

    assert wire.response(audio(0)).audio.audio_content[:4] == b"RIFF"
    assert len(wire.response(audio(0)).audio.audio_content) == 44 + 6
    assert len(wire.response(audio(1)).audio.audio_content) == 6


def test_the_other_events_keep_what_they_say() -> None:
    wire = responses()

    done = wire.response(FlushDone(flush_id="a", offset_samples=12_000)).flush_done
    assert (done.flush_id, done.offset.nanos) == ("a", 500_000_000)
    cut = wire.response(Interrupted(offset_samples=24_000, dropped_text="rest")).interrupted
    assert (cut.dropped_text, cut.offset.seconds) == ("rest", 1)
    warning = wire.response(Warned(code="ODD", message="It is odd.")).warning
    assert (warning.code, warning.message) == ("ODD", "It is odd.")


def test_the_summary_keeps_its_figures() -> None:
    summary = Summary(
        character_count=10,
        segment_count=2,
        audio_duration_s=1.5,
        time_to_first_audio_s=0.25,
        synthesis_duration_s=0.75,
        compute_duration_s=0.5,
        real_time_factor=0.5,
        underrun_count=3,
        underrun_s=0.125,
    )
    wire = responses().response(summary).summary
    assert wire.character_count == 10
    assert wire.segment_count == 2
    assert wire.audio_duration == Duration(seconds=1, nanos=500_000_000)
    assert wire.time_to_first_audio == Duration(nanos=250_000_000)
    assert wire.synthesis_duration == Duration(nanos=750_000_000)
    assert wire.compute_duration == Duration(nanos=500_000_000)
    assert wire.real_time_factor == 0.5
    assert wire.underrun_count == 3
    assert wire.underrun_duration == Duration(nanos=125_000_000)


@given(st.integers(0, 2**40), st.sampled_from([8_000, 22_050, 24_000, 48_000]))
def test_an_offset_is_right_to_the_nanosecond(samples: int, rate: int) -> None:
    wire = convert.Responses(request_id="", encoding=pb.AUDIO_ENCODING_PCM)
    wire.response(Started(model="m", voice="v", sample_rate_hz=rate, seed=0))
    offset = wire.response(FlushDone(flush_id="", offset_samples=samples)).flush_done.offset

    exact = samples * 10**9
    assert abs((offset.seconds * 10**9 + offset.nanos) * rate - exact) <= rate // 2 + 1
    assert 0 <= offset.nanos < 10**9


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_samples_survive_within_half_a_step_and_are_clipped(values: list[float]) -> None:
    content = convert.pcm16(Clip(np.array(values, np.float32), 24_000))
    back = np.frombuffer(content, "<i2") / 32767
    assert np.abs(back - np.clip(values, -1, 1)).max(initial=0) <= 0.5 / 32767 + 1e-7


def test_a_voice_shows_the_families_it_shares_with_the_engine() -> None:
    voice = Voice(
        id="ada",
        display_name="Ada",
        description="Warm.",
        language="en",
        gender="female",
        families=("turbo", "tiny", "other"),
    )
    shown = convert.voice_message(voice, families=["tiny", "turbo"])
    assert list(shown.models) == ["models/tiny", "models/turbo"]
    assert shown.gender == voice_pb2.VOICE_GENDER_FEMALE
    unknown = convert.voice_message(replace(voice, gender=""), families=[])
    assert unknown.gender == voice_pb2.VOICE_GENDER_UNSPECIFIED


def test_a_model_shows_defaults_only_for_what_it_knows() -> None:
    family = replace(
        TONE_FAMILY,
        languages=("nl", "en"),
        parameters=frozenset({"seed", "temperature", "top_k"}),
        defaults=Sampling(temperature=0.8, top_k=0, min_p=0.05),
    )
    shown = convert.model_message(family)
    assert list(shown.language_codes) == ["en", "nl"]
    assert [field.name for field, _ in shown.default_options.ListFields()] == [
        "temperature",
        "top_k",
    ]
