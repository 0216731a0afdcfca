"""S3Gen hears of a reference clip what the reference implementation hears."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chatterbox.audio import resample
from chatterbox.audio.mel import x_vector_features
from chatterbox.models.checkpoint import S3GEN_OPTIONAL, load_strict, without_storage
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two busy cores are enough

FAMILY = "embed_ref"
CLIPS = ("ref10s", "ref5p37s")


@pytest.fixture(scope="module")
def s3gen(golden: Any) -> Iterator[S3Gen]:
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


def clip(golden: Any, name: str) -> Tensor:
    recorded: Tensor = golden.family(FAMILY)[f"{name}.wav24_i16"]
    return recorded.float()[None] / 32768.0


@pytest.mark.parametrize("name", CLIPS)
def test_a_reference_clip_is_embedded_as_in_the_reference(
    name: str, s3gen: S3Gen, rounded: list[Tensor], golden: Any
) -> None:
    heard = s3gen.embed_reference(clip(golden, name), 24000)
    count = heard.prompt_tokens.shape[1]

    golden.check(FAMILY, f"{name}.prequant", rounded[0])
    golden.check_codes(FAMILY, f"{name}.prompt_token", heard.prompt_tokens, rounded[0][:, :count])
    golden.check(FAMILY, f"{name}.prompt_token_len", torch.tensor([count]))
    golden.check_log(FAMILY, f"{name}.prompt_feat", heard.prompt_mel)
    golden.check(FAMILY, f"{name}.embedding", heard.x_vector)


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_resampled_and_analysed_as_in_the_reference(name: str, golden: Any) -> None:
    wav16k = resample.sinc(clip(golden, name), 24000, 16000)
    features = x_vector_features(wav16k)
    kept = golden.family(FAMILY)[f"{name}.fbank"].shape[1]

    golden.check(FAMILY, f"{name}.wav16_len", torch.tensor(wav16k.shape[1]))
    golden.check(FAMILY, f"{name}.wav16_head", wav16k[:, :4000])
    golden.check(FAMILY, f"{name}.wav16_tail", wav16k[:, -400:])
    golden.check(FAMILY, f"{name}.fbank_frames", torch.tensor(features.shape[1]))
    golden.check_log(FAMILY, f"{name}.fbank", features[:, :kept])


def test_a_clip_at_16_khz_is_embedded_as_in_the_reference(
    s3gen: S3Gen, rounded: list[Tensor], golden: Any
) -> None:
    wav16k = resample.sinc(clip(golden, "ref10s")[:, : 3 * 24000], 24000, 16000)
    heard = s3gen.embed_reference(wav16k, 16000)

    golden.check_log(FAMILY, "sr16000.prompt_feat", heard.prompt_mel)
    golden.check(FAMILY, "sr16000.embedding", heard.x_vector)
    kept = rounded[0][:, : heard.prompt_tokens.shape[1]]
    golden.check_codes(FAMILY, "sr16000.prompt_token", heard.prompt_tokens, kept)
