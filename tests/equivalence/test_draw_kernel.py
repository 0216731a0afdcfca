"""Drawing by the kernel against drawing by torch: the same tokens, and the same left in the slots."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chatterbox.engine.batch import Batch, Slots, Speaker
from chatterbox.engine.step import DecodeStep, speakable
from chatterbox.models.families import ENGLISH, NANO
from chatterbox.models.kernels import draw as kernel
from chatterbox.models.t3.cache import KVCache
from chatterbox.models.t3.model import T3
from chatterbox.speech import Sampling

SLOTS = 5
CODES, STOP = 900, 902  # two tokens between are never spoken

SETTINGS = st.builds(
    Sampling,
    seed=st.integers(0, 2**63 - 1),
    temperature=st.sampled_from([0.0, 0.3, 0.8, 1.0, 5.0]),
    cfg_weight=st.sampled_from([0.0, 0.5, 1.0]),
    top_p=st.sampled_from([0.01, 0.5, 0.95, 1.0]),
    top_k=st.sampled_from([0, 1, 7, 300, 1000]),
    min_p=st.sampled_from([0.0, 0.05, 0.9]),
    repetition_penalty=st.sampled_from([1.0, 1.2, 5.0]),
)


class Drawing:
    """Slots whose scores are made up."""

    def __init__(self, *, guided: bool, by_kernel: bool) -> None:
        family = ENGLISH if guided else NANO
        config = replace(
            family.t3,
            layers=1,
            dim=64,
            heads=1,
            mlp_dim=64,
            speech_codes=CODES,
            stop_speech=STOP,
            start_speech=CODES + 1,
        )
        if not kernel.has_kernel(torch.device("cpu")):
            pytest.skip("there is no C compiler")
        self.guided = guided
        self.slots = Slots(
            SLOTS,
            vocabulary=speakable(CODES, STOP),
            start=CODES + 1,
            rows_each=2 if guided else 1,
            penalty_last=family.penalty_last,
            device=torch.device("cpu"),
        )
        self.cache = KVCache(config, rows=SLOTS * self.slots.rows_each, max_length=8)
        self.step = DecodeStep(T3(config), self.cache, self.slots, recorded=False)
        if not by_kernel:
            self.step._draw = None

    def speakers(self, samplings: list[Sampling], least: int) -> list[Speaker]:
        speakers = []
        for slot, sampling in enumerate(samplings):
            guided = self.guided and bool(sampling.cfg_weight)
            speaker = Speaker(slot=slot, sampling=sampling, guided=guided, least_tokens=least)
            self.slots.occupy(speaker)
            self.slots.live[slot] = True
            speakers.append(speaker)
        return speakers

    @torch.inference_mode()
    def draw(self, speakers: list[Speaker], scores: Tensor) -> Tensor:
        return self.step.draw(Batch.of(speakers, self.slots, self.cache), scores)


def made_up_scores(seed: int, rows: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(rows, CODES + 20, generator=generator)


@pytest.mark.parametrize("guided", [False, True], ids=["penalty last", "guided"])
@given(
    samplings=st.lists(SETTINGS, min_size=1, max_size=SLOTS),
    seed=st.integers(0, 1000),
    spread=st.sampled_from([0.0, 1.0, 4.0, 30.0]),
    least=st.sampled_from([0, 2, 50]),
)
@settings(max_examples=60, deadline=None)
def test_the_kernel_draws_what_torch_draws(
    *, guided: bool, samplings: list[Sampling], seed: int, spread: float, least: int
) -> None:
    ours, theirs = (Drawing(guided=guided, by_kernel=kind) for kind in (True, False))
    us, them = ours.speakers(samplings, least), theirs.speakers(samplings, least)
    for step in range(6):
        rows = sum(2 if each.guided else 1 for each in us)
        scores = made_up_scores(seed + step, rows, spread)
        if spread == 0.0:  # all alike: who comes first is what counts, and torch does not say
            scores = -torch.arange(scores.shape[1]).expand(rows, -1) / 100
        drawn = ours.draw(us, scores.contiguous())
        assert drawn.tolist() == theirs.draw(them, scores).tolist()
        for name in ("tokens", "drawn", "live"):
            assert torch.equal(getattr(ours.slots, name), getattr(theirs.slots, name)), name
        assert torch.equal(ours.slots.history.seen, theirs.slots.history.seen)
        assert torch.equal(ours.slots.history.fresh, theirs.slots.history.fresh)
    assert not ((drawn >= CODES) & (drawn != STOP)).any()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_speaker_draws_the_same_alone_and_in_company(threads: None) -> None:
    plain = Sampling(
        temperature=0.8, cfg_weight=0.0, top_p=0.95, top_k=1000, min_p=0.0, repetition_penalty=1.2
    )
    samplings = [replace(plain, seed=seed, temperature=0.5 + 0.1 * seed) for seed in range(SLOTS)]
    together, alone = (Drawing(guided=False, by_kernel=True) for _ in range(2))
    many, few = together.speakers(samplings, 0), alone.speakers(samplings, 0)
    for step in range(8):
        scores = made_up_scores(step, SLOTS, 2.0)
        torch.set_num_threads(2)
        drawn = together.draw(many, scores).tolist()
        torch.set_num_threads(1)
        by_itself = [
            int(alone.draw([few[place]], scores[place : place + 1])) for place in range(SLOTS)
        ]
        assert drawn == by_itself
    assert len(set(drawn)) > 1


def test_scores_that_are_no_numbers_end_the_speech() -> None:
    drawing = Drawing(guided=False, by_kernel=True)
    speakers = drawing.speakers(
        [replace(ENGLISH.defaults, seed=1, top_k=0, top_p=0.9, min_p=0.0, cfg_weight=0.0)], 0
    )
    drawn = drawing.draw(speakers, torch.full((1, CODES + 20), float("nan")))
    assert drawn.tolist() == [STOP]
    assert not drawing.slots.live[0]


def test_draws_are_as_likely_as_the_scores_say() -> None:
    drawing = Drawing(guided=False, by_kernel=True)
    plain = Sampling(
        seed=0,
        temperature=1.0,
        cfg_weight=0.0,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        repetition_penalty=1.0,
    )
    scores = torch.full((1, CODES + 20), float("-inf"))
    scores[0, :3] = torch.tensor([0.5, 0.3, 0.2]).log()
    counts = torch.zeros(3)
    for seed in range(600):
        speakers = drawing.speakers([replace(plain, seed=seed)], 0)
        for _ in range(5):
            counts[int(drawing.draw(speakers, scores))] += 1
    assert (counts / counts.sum() - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.03
