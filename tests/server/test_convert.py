"""Protobuf to domain and back: every branch, without a server."""

import contextlib
from dataclasses import fields, replace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.audio.encode import SAMPLE_RATES_HZ, Encoding
from chatterbox.audio.output import OutputFormat
from chatterbox.engine.tone import TONE_FAMILY
from chatterbox.errors import InvalidRequest
from chatterbox.speech import (
    RANGES,
    Flush,
    Interrupt,
    Pronunciation,
    Sampling,
    TextFragment,
)
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1 import voice_pb2
from chatterbox.voices.voice import Voice
from server import convert, convert_voices
from server.convert_audio import WIRE_ENCODINGS, output_format
from server.convert_model import model_message

Request = pb.StreamingSynthesizeRequest


def test_a_request_with_everything_set_keeps_everything() -> None:
    config, text, form = convert.speech_request(
        pb.SynthesizeRequest(
            input=pb.SynthesisInput(text="Hello."),
            voice=pb.VoiceSelection(name="voices/ada", model="models/tiny", language_code="pt-BR"),
            audio_config=pb.AudioConfig(audio_encoding=pb.AUDIO_ENCODING_LINEAR16),
            options=pb.SynthesisOptions(seed=1, temperature=0, top_p=0.5, top_k=0),
            pronunciations=[pb.CustomPronunciation(phrase="GIF", spoken_as="jif")],
        )
    )

    assert (text, form) == ("Hello.", OutputFormat(encoding=Encoding.WAV))
    assert config.pronunciations == (Pronunciation("GIF", "jif"),)
    assert (config.voice, config.model, config.language) == ("ada", "tiny", "pt-BR")
    assert config.sampling == Sampling(seed=1, temperature=0.0, top_p=0.5, top_k=0)


def test_an_unset_option_is_not_a_zero() -> None:
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Hello."))
    config, _, form = convert.speech_request(request)

    assert config.sampling == Sampling()
    assert (config.voice, config.model, config.language) == (None, None, None)
    assert form == OutputFormat()


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
        ("pronunciations", "streaming_config.pronunciations", "pronunciations"),
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
        ({"audio_config": pb.AudioConfig(audio_encoding=4)}, "UNSUPPORTED_ENCODING"),  # type: ignore[arg-type]
        ({"pronunciations": [pb.CustomPronunciation()]}, "INVALID_PRONUNCIATION"),
        (
            {"pronunciations": [pb.CustomPronunciation(phrase="a", spoken_as="b")] * 101},
            "INVALID_PRONUNCIATION",
        ),
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


def test_a_voice_shows_the_families_it_shares_with_the_engine() -> None:
    voice = Voice(
        id="ada",
        display_name="Ada",
        description="Warm.",
        language="en",
        gender="female",
        families=("turbo", "tiny", "other"),
    )
    shown = convert_voices.voice_message(voice, families=["tiny", "turbo"])
    assert list(shown.models) == ["models/tiny", "models/turbo"]
    assert shown.gender == voice_pb2.VOICE_GENDER_FEMALE
    unknown = convert_voices.voice_message(replace(voice, gender=""), families=[])
    assert unknown.gender == voice_pb2.VOICE_GENDER_UNSPECIFIED


def test_a_model_tells_what_it_can_do() -> None:
    family = replace(
        TONE_FAMILY,
        languages=("nl", "en"),
        parameters=frozenset({"seed", "temperature", "top_k", "top_p"}),
        defaults=Sampling(temperature=0.8, top_k=0, top_p=0.9, min_p=0.05),
        tags=frozenset({"sigh", "laugh"}),
        min_reference_s=5.0,
    )
    shown = model_message(family)
    assert list(shown.language_codes) == ["en", "nl"]
    assert [field.name for field, _ in shown.default_options.ListFields()] == [
        "temperature",
        "top_p",
        "top_k",
    ]
    assert [each.name for each in shown.parameters] == ["seed", "temperature", "top_p", "top_k"]
    seed, temperature, top_p, top_k = shown.parameters
    assert (temperature.minimum, temperature.maximum, temperature.default_value) == (0, 5, 0.8)
    assert not seed.HasField("default_value")
    assert top_p.exclusive_minimum
    assert (top_k.integer, top_k.default_value) == (True, 0)
    assert list(shown.paralinguistic_tags) == ["[laugh]", "[sigh]"]
    assert shown.min_reference_duration == Duration(seconds=5)
    assert list(shown.output_sample_rates_hertz) == sorted(SAMPLE_RATES_HZ)


def test_every_range_that_is_told_is_kept() -> None:
    for name, values in RANGES.items():
        kind = int if values.whole else float
        Sampling(**{name: kind(values.high)})
        beyond = [values.high + 1, values.low - 1, *([values.low] if values.open else [])]
        for value in beyond:
            with pytest.raises(InvalidRequest):
                Sampling(**{name: kind(value)})


FORMS = [
    ({}, OutputFormat()),
    (
        {"audio_encoding": pb.AUDIO_ENCODING_MULAW, "sample_rate_hertz": 8000},
        OutputFormat(encoding=Encoding.MULAW, sample_rate_hz=8000),
    ),
    (
        {"speaking_rate": 2.0, "volume_gain_db": -96.0},
        OutputFormat(speaking_rate=2.0, volume_gain_db=-96.0),
    ),
    (
        {"speaking_rate": 0.5, "volume_gain_db": 16.0},
        OutputFormat(speaking_rate=0.5, volume_gain_db=16.0),
    ),
]


@pytest.mark.parametrize(("config", "form"), FORMS)
def test_the_form_is_understood(config: dict[str, Any], form: OutputFormat) -> None:
    assert output_format(pb.AudioConfig(**config)) == form


@pytest.mark.parametrize("encoding", Encoding)
def test_every_encoding_but_that_of_openai_alone_has_a_number(encoding: Encoding) -> None:
    assert (encoding in WIRE_ENCODINGS) is (encoding is not Encoding.AAC)


@pytest.mark.parametrize(
    ("config", "field", "reason"),
    [
        ({"audio_encoding": 4}, "audio_encoding", "UNSUPPORTED_ENCODING"),
        ({"audio_encoding": 99}, "audio_encoding", "UNSUPPORTED_ENCODING"),
        ({"sample_rate_hertz": 7999}, "sample_rate_hertz", "UNSUPPORTED_SAMPLE_RATE"),
        ({"sample_rate_hertz": -1}, "sample_rate_hertz", "UNSUPPORTED_SAMPLE_RATE"),
        (
            {"audio_encoding": pb.AUDIO_ENCODING_OGG_OPUS, "sample_rate_hertz": 44_100},
            "sample_rate_hertz",
            "UNSUPPORTED_SAMPLE_RATE",
        ),
        ({"speaking_rate": 0.0}, "speaking_rate", "OUT_OF_RANGE"),
        ({"speaking_rate": 0.49}, "speaking_rate", "OUT_OF_RANGE"),
        ({"speaking_rate": 2.01}, "speaking_rate", "OUT_OF_RANGE"),
        ({"speaking_rate": float("nan")}, "speaking_rate", "OUT_OF_RANGE"),
        ({"volume_gain_db": 16.1}, "volume_gain_db", "OUT_OF_RANGE"),
        ({"volume_gain_db": -97.0}, "volume_gain_db", "OUT_OF_RANGE"),
        ({"volume_gain_db": float("inf")}, "volume_gain_db", "OUT_OF_RANGE"),
    ],
)
def test_a_form_that_is_not_served_is_refused(
    config: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        output_format(pb.AudioConfig(**config))
    assert (caught.value.field, caught.value.reason) == (f"audio_config.{field}", reason)
