"""Text ids and a voice become the speech that the reference makes of them, end to end."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from chatterbox.engine.sampler import History, SamplingTable, guide, process
from chatterbox.models.checkpoint import (
    S3GEN_OPTIONAL,
    T3_DROPPED,
    T3_NAMES,
    load_strict,
    without_storage,
)
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.families import ENGLISH, NANO, TURBO, Family
from chatterbox.models.s3gen.model import RenderNoise, S3Gen
from chatterbox.models.t3.cache import KVCache, Reading, Stepping, plan_runs
from chatterbox.models.t3.model import T3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two busy cores are enough

CHAIN_TOLERANCE = 1e-2  # errors of the pitch add up in the phase of the source
NEAR_TIE = 1e-3  # a smaller gap between the best two may fall either way


class Case(NamedTuple):
    """One family's fixture."""

    family: Family
    t3_manifest: str
    s3gen_manifest: str
    greedy: bool  # the fixture's tokens are the likeliest before the filters, not after

    @property
    def name(self) -> str:
        return f"e2e_{self.family.id}"


CASES = {
    "english": Case(ENGLISH, "t3_english", "s3gen", greedy=True),
    "turbo": Case(TURBO, "t3_turbo", "s3gen_meanflow", greedy=False),
    "nano": Case(NANO, "t3_nano", "s3gen_meanflow", greedy=False),
}


@pytest.fixture(scope="module")
def s3gen(request: pytest.FixtureRequest, golden: Any) -> Iterator[S3Gen]:
    case = next(case for case in CASES.values() if case.s3gen_manifest == request.param)
    s3gen = without_storage(lambda: S3Gen(case.family.s3gen)).eval()
    load_strict(s3gen, golden.state(request.param), optional=S3GEN_OPTIONAL)
    with torch.inference_mode():
        yield s3gen


@pytest.mark.parametrize("name", CASES)
def test_text_becomes_the_reference_s_speech_tokens(name: str, golden: Any) -> None:
    case = CASES[name]
    config = case.family.t3
    recorded = golden.family(case.name)
    t3 = without_storage(lambda: T3(config)).eval()
    load_strict(t3, golden.state(case.t3_manifest), names=T3_NAMES, dropped=T3_DROPPED)
    expected = recorded["t3_tokens"][0].tolist()
    with torch.inference_mode():
        tokens, gaps = speak(t3, case, recorded, count=len(expected))

    tied = next((at for at, gap in enumerate(gaps) if gap < NEAR_TIE), len(expected))
    assert tokens[:tied] == expected[:tied]
    if "t3_gap" in recorded:
        golden.check(case.name, "t3_gap", torch.tensor(gaps))
    if tied == len(expected):
        spoken = [token for token in tokens if token < config.speech_codes]
        spoken += case.family.closing_tokens
        golden.check(case.name, "speech_tokens", torch.tensor(spoken))


@pytest.mark.parametrize(
    ("s3gen", "name"),
    [(case.s3gen_manifest, name) for name, case in CASES.items()],
    indirect=["s3gen"],
)
def test_speech_tokens_become_the_reference_s_audio(s3gen: S3Gen, name: str, golden: Any) -> None:
    tag = CASES[name].name
    recorded = golden.family(tag)
    voice = s3gen.embed_reference(recorded["ref_wav24_i16"].float()[None] / 32768.0, 24000)
    tokens = recorded["speech_tokens"][None]
    frames = s3gen.output_frames(tokens.shape[1], voice)
    z_shape = (1, 80, frames + voice.prompt_mel.shape[1])
    phases = golden.noise(f"{tag}.phase", (1, 9, 1)).clamp(-3.14159, 3.14159)
    phases[:, 0] = 0.0
    noise = RenderNoise(
        flow=golden.noise(f"{tag}.z", z_shape),
        phases=phases,
        source=golden.noise(f"{tag}.sine_noise", (1, 9, 480 * frames)),
    )
    mel = s3gen.mel(tokens, voice, noise.flow)

    golden.check(tag, "z_shape", torch.tensor(z_shape))
    golden.check(tag, "mel", mel)
    wav = s3gen.sound(mel, noise)
    torch.testing.assert_close(wav, recorded["wav"], atol=CHAIN_TOLERANCE, rtol=0.0)


def speak(
    t3: T3, case: Case, recorded: dict[str, Tensor], *, count: int
) -> tuple[list[int], list[float]]:
    """The likeliest tokens under the family's defaults, and how far ahead each was."""
    config = t3.config
    voice = T3Conditioning(
        speaker_embedding=recorded["cond.speaker_emb"],
        prompt_tokens=recorded["cond.cond_prompt_speech_tokens"],
        exaggeration=float(recorded["cond.emotion_adv"]),
    )
    framed = config.start_text is not None
    text = recorded["text_tokens"][:, 1:-1] if framed else recorded["text_tokens"]
    settings = case.family.defaults
    table = SamplingTable.of(
        [replace(settings, temperature=0.0) if case.greedy else settings],
        vocabulary=config.speech_vocabulary,
        penalty_last=case.family.penalty_last,
    )
    history = History(
        slots=1,
        vocabulary=config.speech_vocabulary,
        start=config.start_speech,
        keeps_start=config.guidance,
    )
    history.begin(0)
    prefix = t3.prefix(text, voice, guided=config.guidance)
    rows, length = prefix.shape[:2]
    cache = KVCache(config, rows=rows, max_length=length + count)
    positions = torch.arange(length).expand(rows, -1)
    logits = t3(prefix, positions, Reading(cache, slice(0, rows), slice(0, length)))
    tokens: list[int] = []
    gaps: list[float] = []
    for step in range(count):
        scores = guide(logits[:1], logits[1:], table) if config.guidance else logits
        probabilities = process(scores, history.seen, table)
        best = probabilities.log()[0].topk(2)
        tokens.append(int(best.indices[0]))
        gaps.append(float(best.values[0] - best.values[1]))
        history.add(torch.tensor([0]), best.indices[:1])
        embeds = t3.embed_speech(best.indices[:1].expand(rows), torch.full((rows,), step + 1))
        positions = torch.full((rows, 1), length + step)
        runs = plan_runs(range(rows), [length + step + 1] * rows)
        logits = t3(
            embeds, positions, Stepping(cache, runs, cache.addresses(range(rows)), positions)
        )
    return tokens, gaps
