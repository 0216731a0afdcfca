"""S3Gen in faster numbers sounds as in float32, and still alike alone and in company."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from chatterbox.audio.mel import s3gen_log_mel
from chatterbox.engine.s3gen_runner import SeededNoise
from chatterbox.models.bundle import Models, load_models
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.families import TINY
from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.precision import Precision
from chatterbox.models.s3gen.stream import (
    ChunkInput,
    StreamSettings,
    hear_prompt,
    render_chunks,
    start_stream,
)
from chatterbox.voices.library import VoiceLibrary

SETTINGS = StreamSettings()


@pytest.fixture(scope="module")
def exact() -> Models:
    return load_models(TINY)


def conditioning(voice: str) -> S3GenConditioning:
    return VoiceLibrary().conditioning(voice, "tiny").s3gen


def speech(seed: int) -> Tensor:
    """Codes as speech has them: each held for some tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(729, (10,), generator=generator).repeat_interleave(4)


def first_chunk(models: Models, voice: str, seed: int) -> ChunkInput:
    vocoder = models.s3gen.config.vocoder
    noise = SeededNoise(
        seed, bins=80, harmonics=vocoder.overtones + 1, samples_per_frame=vocoder.samples_per_frame
    )
    prompt = hear_prompt(models.s3gen, conditioning(voice), SETTINGS)
    state = start_stream(models.s3gen, prompt, noise, SETTINGS)
    return ChunkInput(prompt=prompt, noise=noise, state=state, tokens=speech(seed), kept=37)


def sounds(models: Models, *chunks: ChunkInput) -> list[Tensor]:
    return [samples for samples, _ in render_chunks(models.s3gen, chunks, SETTINGS)]


# Mean difference of log-mel frames; another noise seed alone makes 0.06.
@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.03), ("bf16", 0.15), ("int8", 0.15)])
def test_it_sounds_as_in_float32(exact: Models, precision: Precision, bound: float) -> None:
    faster = load_models(TINY, precision=precision)
    (expected,) = sounds(exact, first_chunk(exact, "ada", 1))
    (actual,) = sounds(faster, first_chunk(faster, "ada", 1))
    apart = s3gen_log_mel(actual[None], 24_000, 80) - s3gen_log_mel(expected[None], 24_000, 80)
    assert 0 < apart.abs().mean() < bound


@pytest.fixture
def take_compiler_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    def take() -> None:
        monkeypatch.setenv("CC", "")
        compiled.cache_clear()

    yield take
    compiled.cache_clear()


def test_without_our_kernels_it_sounds_the_same(
    exact: Models, take_compiler_away: Callable[[], None]
) -> None:
    (expected,) = sounds(exact, first_chunk(exact, "ada", 1))
    take_compiler_away()
    plain = load_models(TINY)
    (actual,) = sounds(plain, first_chunk(plain, "ada", 1))
    assert (actual - expected).norm() < 1e-3 * expected.norm()


def test_in_integers_a_stream_keeps_its_mel_in_company(exact: Models) -> None:
    integer = load_models(TINY, precision="int8")
    chunks = [first_chunk(integer, "ada", 1), first_chunk(integer, "ben", 2)]
    alone = [sounds(integer, chunk)[0] for chunk in chunks]
    for one, other in zip(sounds(integer, *chunks), alone, strict=True):
        apart = s3gen_log_mel(one[None], 24_000, 80) - s3gen_log_mel(other[None], 24_000, 80)
        assert apart.abs().mean() < 0.02
