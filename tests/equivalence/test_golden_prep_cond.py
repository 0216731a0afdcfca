"""A reference clip becomes the conditioning that the reference prepares."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.models.checkpoint import (
    S3GEN_OPTIONAL,
    VOICE_ENCODER_NAMES,
    load_strict,
    without_storage,
)
from chatterbox.models.families import ENGLISH, TURBO
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.voices.cloning import clone, loudness_gain
from chatterbox.voices.rules import ReferenceRules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two busy cores are enough

FAMILY = "prep_cond"
CLIPS = {"f24": ("wav24_i16", 24000), "f16": ("wav16_i16", 16000)}
RULES = {"en": ReferenceRules.of(ENGLISH), "turbo": ReferenceRules.of(TURBO)}


@pytest.fixture(scope="module")
def voice_encoder(golden: Any) -> VoiceEncoder:
    encoder = without_storage(VoiceEncoder).eval()
    load_strict(encoder, golden.state("ve"), names=VOICE_ENCODER_NAMES)
    return encoder


@pytest.fixture(scope="module")
def s3gen(golden: Any) -> Iterator[S3Gen]:
    """The two published S3Gens have one and the same seeded tokenizer and speaker encoder."""
    s3gen = without_storage(lambda: S3Gen(S3GenConfig.standard())).eval()
    load_strict(s3gen, golden.state("s3gen"), optional=S3GEN_OPTIONAL)
    with torch.inference_mode():
        yield s3gen


@pytest.fixture
def rounded(s3gen: S3Gen) -> Iterator[list[Tensor]]:
    """What has been rounded to tokens so far, one tensor per pass."""
    seen: list[Tensor] = []
    quantizer = s3gen.tokenizer.quantizer
    handle = quantizer.register_forward_hook(lambda *call: seen.append(call[2]))
    yield seen
    handle.remove()


def clip(golden: Any, name: str) -> Clip:
    tensor, sample_rate_hz = CLIPS[name]
    return Clip((golden.family(FAMILY)[tensor].float() / 32768.0).numpy(), sample_rate_hz)


@pytest.mark.parametrize("variant", RULES)
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_prepared_as_in_the_reference(
    name: str,
    variant: str,
    s3gen: S3Gen,
    voice_encoder: VoiceEncoder,
    rounded: list[Tensor],
    golden: Any,
) -> None:
    voice = clone(clip(golden, name), RULES[variant], voice_encoder=voice_encoder, s3gen=s3gen)
    prefix, heard = f"{name}.{variant}", voice.s3gen
    for_t3, for_s3gen = rounded
    count = heard.prompt_tokens.shape[1]

    golden.check(FAMILY, f"{prefix}.t3.speaker_emb", voice.t3.speaker_embedding)
    tokens_name = f"{prefix}.t3.cond_prompt_speech_tokens"
    golden.check_codes(FAMILY, tokens_name, voice.t3.prompt_tokens, for_t3)
    tokens_name = f"{prefix}.gen.prompt_token"
    golden.check_codes(FAMILY, tokens_name, heard.prompt_tokens, for_s3gen[:, :count])
    golden.check(FAMILY, f"{prefix}.gen.prompt_token_len", torch.tensor([count]))
    golden.check(FAMILY, f"{prefix}.gen.embedding", heard.x_vector)
    golden.check_log(FAMILY, f"{prefix}.gen.prompt_feat_every10", heard.prompt_mel[:, ::10])
    shape = torch.tensor(heard.prompt_mel.shape)
    golden.check(FAMILY, f"{prefix}.gen.prompt_feat_shape", shape)


@pytest.mark.parametrize("variant", RULES)
@pytest.mark.parametrize("name", CLIPS)
def test_exaggeration_is_one_number_of_the_voice(name: str, variant: str, golden: Any) -> None:
    asked = re.search(r"exaggeration=([\d.]+)", golden.index["families"][FAMILY]["notes"])
    assert asked is not None
    emotion = torch.full((1, 1, 1), float(asked[1]))

    golden.check(FAMILY, f"{name}.{variant}.t3.emotion_adv", emotion)


def test_turbo_levels_the_clip_as_the_reference(golden: Any) -> None:
    gain = torch.tensor(loudness_gain(clip(golden, "f24")))

    golden.check(FAMILY, "f24.turbo.loudnorm_gain", gain)
