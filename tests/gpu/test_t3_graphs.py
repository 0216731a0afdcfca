"""On a GPU: recorded steps draw what dispatched ones do, and how fast both are."""

import sys
import time
from dataclasses import replace

import pytest
import torch

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.recording import CudaRecorder, Recorder, Repetition
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.engine.warm_up import nobody
from chatterbox.models.bundle import Models, random_models
from chatterbox.models.families import ENGLISH, NANO, TURBO, Family
from chatterbox.models.precision import Precision
from chatterbox.speech import Sampling

pytestmark = pytest.mark.gpu

SLOTS, TOKENS = 8, 120
CONFIG = EngineConfig(slots=SLOTS, max_speech_tokens=400, steps_per_sync=4)
SMALL = replace(NANO, t3=replace(NANO.t3, layers=3))


class Letters:
    """A tokenizer without files."""

    def encode(self, text: str, language: str) -> list[int]:
        return [ord(character) % 100 + 3 for character in text]


def models(family: Family, precision: Precision = "fp32") -> Models:
    return random_models(family, Letters(), seed=1, device="cuda", precision=precision)


def spoken(made: Models, recorder: Recorder, speakers: int) -> tuple[list[list[int | None]], float]:
    """The tokens of speakers that join one after another, and steps a second of all together."""
    runner = T3Runner(made, CONFIG, recorder=recorder)
    runner.prepare()
    text = made.tokenizer.encode("The quick brown fox jumps over the lazy dog.", "en")
    joined, told = [], []
    for slot in range(speakers):
        sampling = made.family.settle(Sampling(seed=slot, temperature=0.5 + 0.1 * slot))
        speaker = runner.speaker(slot, sampling, least_tokens=TOKENS * 2)
        told.append([runner.prefill(speaker, text, nobody(made).t3)])
        joined.append(speaker)
        for tokens, more in zip(told, runner.decode(joined, steps=3), strict=True):
            tokens.extend(more)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(TOKENS // 4):
        for tokens, more in zip(told, runner.decode(joined, steps=4), strict=True):
            tokens.extend(more)
    return told, TOKENS / (time.perf_counter() - started)


@pytest.mark.parametrize("family", [SMALL, replace(ENGLISH, t3=replace(ENGLISH.t3, layers=3))])
def test_recorded_steps_draw_what_dispatched_ones_do(family: Family) -> None:
    made = models(family)
    recorded, _ = spoken(made, CudaRecorder(), SLOTS)
    dispatched, _ = spoken(made, Repetition(), SLOTS)

    assert recorded == dispatched


def test_a_speaker_says_recorded_in_company_what_it_says_alone() -> None:
    made = models(SMALL)
    together, _ = spoken(made, CudaRecorder(), SLOTS)
    alone, _ = spoken(made, CudaRecorder(), 1)

    assert together[0][: len(alone[0])] == alone[0][: len(together[0])]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("family", [NANO, TURBO, ENGLISH], ids=lambda family: family.id)
def test_steps_a_second(
    family: Family, precision: Precision, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails only where a step does not run; the figures are for the reader."""
    made = models(family, precision)
    for speakers in (1, SLOTS):
        _, recorded = spoken(made, CudaRecorder(), speakers)
        _, dispatched = spoken(made, Repetition(), speakers)
        with capsys.disabled():
            sys.stdout.write(
                f"\n{family.id} {precision}, {speakers} speaking: {recorded:.0f} steps/s recorded,"
                f" {dispatched:.0f} dispatched\n"
            )
