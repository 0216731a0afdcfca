"""Speech is converted to another voice as the reference does it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.models.checkpoint import S3GEN_OPTIONAL, load_strict, without_storage
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import RenderNoise, S3Gen
from chatterbox.voices.cloning import speech_tokens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two busy cores are enough

FAMILY = "vc"
CHAIN_TOLERANCE = 1e-2  # errors of the pitch add up in the phase of the source


@pytest.fixture(scope="module")
def s3gen(golden: Any) -> Iterator[S3Gen]:
    s3gen = without_storage(lambda: S3Gen(S3GenConfig.standard())).eval()
    load_strict(s3gen, golden.state("s3gen"), optional=S3GEN_OPTIONAL)
    with torch.inference_mode():
        yield s3gen


@pytest.fixture(scope="module")
def recorded(golden: Any) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = golden.family(FAMILY)
    return tensors


@pytest.fixture(scope="module")
def rounded(s3gen: S3Gen) -> Iterator[list[Tensor]]:
    """What has been rounded to tokens so far, one tensor per pass."""
    seen: list[Tensor] = []
    quantizer = s3gen.tokenizer.quantizer
    handle = quantizer.register_forward_hook(lambda *call: seen.append(call[2]))
    yield seen
    handle.remove()


@pytest.fixture(scope="module")
def target(s3gen: S3Gen, recorded: dict[str, Tensor]) -> S3GenConditioning:
    return s3gen.embed_reference(recorded["ref_wav24_i16"].float()[None] / 32768.0, 24000)


@pytest.fixture(scope="module")
def source(recorded: dict[str, Tensor]) -> Clip:
    return Clip((recorded["src_wav16_i16"].float() / 32768.0).numpy(), 16000)


def test_the_source_and_the_target_are_heard_as_in_the_reference(
    s3gen: S3Gen, source: Clip, recorded: dict[str, Tensor], rounded: list[Tensor], golden: Any
) -> None:
    rounded.clear()
    tokens = speech_tokens(source, s3gen)
    wav = recorded["ref_wav24_i16"].float()[None] / 32768.0
    target = s3gen.embed_reference(wav, 24000)
    of_source, of_target = rounded

    golden.check(FAMILY, "s3_prequant", of_source)
    golden.check_codes(FAMILY, "s3_tokens", tokens, of_source)
    kept = of_target[:, : target.prompt_tokens.shape[1]]
    golden.check_codes(FAMILY, "prompt_token", target.prompt_tokens, kept)
    golden.check(FAMILY, "embedding", target.x_vector)


def test_the_converted_speech_is_the_reference_s(
    s3gen: S3Gen, recorded: dict[str, Tensor], target: S3GenConditioning, golden: Any
) -> None:
    tokens = recorded["s3_tokens"]
    target = replace(target, prompt_tokens=recorded["prompt_token"])  # a tie must not spoil it
    frames = s3gen.output_frames(tokens.shape[1], target)
    z_shape = (1, 80, frames + target.prompt_mel.shape[1])
    phases = golden.noise("vc.phase", (1, 9, 1)).clamp(-3.14159, 3.14159)
    phases[:, 0] = 0.0
    noise = RenderNoise(
        flow=golden.noise("vc.z", z_shape),
        phases=phases,
        source=golden.noise("vc.sine_noise", (1, 9, 480 * frames)),
    )
    mel = s3gen.mel(tokens, target, noise.flow)
    wav = s3gen.sound(mel, noise)

    golden.check(FAMILY, "z_shape", torch.tensor(z_shape))
    golden.check(FAMILY, "mel", mel)
    torch.testing.assert_close(wav, recorded["wav"], atol=CHAIN_TOLERANCE, rtol=0.0)
