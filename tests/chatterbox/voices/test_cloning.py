"""Cloning and conversion with an untrained tiny model: what goes in, what comes out."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from chatterbox.audio.clip import Clip
from chatterbox.errors import InvalidRequest
from chatterbox.models.families import ENGLISH, NANO, TINY, TURBO
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.voices.cloning import (
    clone,
    convert_voice,
    loudness_gain,
    speech_tokens,
)
from chatterbox.voices.rules import ReferenceRules

RULES = ReferenceRules.of(TINY)


class Networks(NamedTuple):
    voice_encoder: VoiceEncoder
    s3gen: S3Gen


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(VoiceEncoder().eval(), S3Gen(S3GenConfig.tiny()).eval())


def noise_clip(seconds: float, sample_rate_hz: int = 24000, level: float = 0.1) -> Clip:
    samples = np.random.default_rng(3).standard_normal(int(seconds * sample_rate_hz))
    return Clip((level * samples).astype(np.float32), sample_rate_hz)


@pytest.mark.parametrize("sample_rate_hz", [8000, 16000, 24000, 44100])
def test_a_clip_at_any_rate_becomes_a_voice(sample_rate_hz: int, networks: Networks) -> None:
    voice = clone(noise_clip(4.0, sample_rate_hz), RULES, **networks._asdict())

    assert voice.t3.prompt_tokens.shape == (1, TINY.t3.prompt_tokens)
    assert voice.s3gen.prompt_tokens.shape == (1, 100)
    assert voice.s3gen.prompt_mel.shape == (1, 200, 80)
    assert torch.equal(voice.s3gen.x_vector, voice.t3.speaker_embedding)
    assert float(voice.t3.speaker_embedding.norm()) == pytest.approx(1.0, abs=1e-5)


def test_s3gen_keeps_ten_seconds_of_a_long_clip(networks: Networks) -> None:
    voice = clone(noise_clip(12.0), RULES, **networks._asdict())

    assert voice.s3gen.prompt_tokens.shape == (1, 250)
    assert voice.s3gen.prompt_mel.shape == (1, 500, 80)


def test_the_tiny_speaker_does_not_depend_on_the_level(networks: Networks) -> None:
    loud, quiet = (
        clone(noise_clip(2.0, level=level), RULES, **networks._asdict()) for level in (0.3, 0.01)
    )

    torch.testing.assert_close(loud.t3.speaker_embedding, quiet.t3.speaker_embedding)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.5])
def test_a_clip_too_short_is_refused(seconds: float, networks: Networks) -> None:
    with pytest.raises(InvalidRequest, match=r"0\.1 s|longer than 0\.5 s"):
        clone(noise_clip(seconds), RULES, **networks._asdict())


def test_turbo_and_nano_want_more_than_five_seconds(networks: Networks) -> None:
    for family in (TURBO, NANO):
        rules = ReferenceRules.of(family)
        assert rules.prompt_tokens == 375
        with pytest.raises(InvalidRequest, match="longer than 5 s"):
            clone(noise_clip(5.0), rules, **networks._asdict())
    assert ReferenceRules.of(ENGLISH).longer_than_s < 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_clip_with_samples_that_are_not_numbers_is_refused(
    value: float, networks: Networks
) -> None:
    clip = noise_clip(1.0)
    clip.samples[100] = value

    with pytest.raises(InvalidRequest, match="not numbers"):
        clone(clip, RULES, **networks._asdict())
    with pytest.raises(InvalidRequest, match="not numbers"):
        speech_tokens(clip, networks.s3gen)


def test_silence_can_be_cloned(networks: Networks) -> None:
    silence = Clip(np.zeros(48000, np.float32), 24000)
    voice = clone(silence, RULES, **networks._asdict())

    assert all(tensor.isfinite().all() for tensor in voice.tensors().values())


def test_levelling_brings_a_clip_to_its_loudness_and_spares_silence() -> None:
    quiet = noise_clip(2.0, level=0.01)
    levelled = Clip(quiet.samples * np.float32(loudness_gain(quiet)), quiet.sample_rate_hz)

    assert loudness_gain(levelled) == pytest.approx(1.0, abs=1e-3)
    assert loudness_gain(Clip(np.zeros(24000, np.float32), 24000)) == 1.0
    assert loudness_gain(noise_clip(0.3)) == 1.0


def test_one_seed_converts_to_one_result(networks: Networks) -> None:
    target = clone(noise_clip(1.0), RULES, **networks._asdict()).s3gen
    source = noise_clip(0.7, 16000)
    first, second, other = (
        convert_voice(source, target, networks.s3gen, seed=seed) for seed in (5, 5, 6)
    )

    assert first.sample_rate_hz == 24000
    assert len(first) == 960 * speech_tokens(source, networks.s3gen).shape[1]
    assert (first.samples == second.samples).all()
    assert (first.samples != other.samples).any()
