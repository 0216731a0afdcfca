"""Whoever is decoded beside a sequence, and whenever they come and go, its tokens are its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.listener import Listener
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Bookmark, Sequence, Utterance
from chatterbox.engine.warm_up import nobody
from chatterbox.models.bundle import Models, assemble, random_networks
from chatterbox.models.families import NANO, TINY, Family
from chatterbox.models.precision import Precision
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.speech import Sampling

CONFIG = EngineConfig(slots=3, max_waiting=8, max_speech_tokens=40, max_text_tokens=64, threads=1)
GUIDED = replace(TINY, t3=replace(TINY.t3, layers=2, dim=64, heads=2, mlp_dim=96))
DIRECT = replace(
    NANO,
    t3=replace(
        NANO.t3,
        layers=2,
        dim=64,
        heads=2,
        mlp_dim=96,
        text_vocabulary=128,
        speech_vocabulary=203,
        speech_codes=201,
        start_speech=201,
        stop_speech=202,
        prompt_tokens=5,
        max_positions=256,
    ),
    s3gen=S3GenConfig.tiny(),
    closing_tokens=(),
)


class Letters:
    """A tokenizer without files."""

    def encode(self, text: str, language: str) -> list[int]:
        return [ord(character) % 100 + 3 for character in text]


class Bench:
    """A device driven by hand, without the engine's thread."""

    def __init__(self, family: Family, precision: Precision) -> None:
        networks = random_networks(family, seed=3)
        # Sharper scores than an untrained head gives, so that ends come at different places.
        networks.t3.speech_head.weight.data *= 25
        self.models: Models = assemble(family, networks, Letters(), precision=precision)
        self.device = ModelDevice([FamilySource(family, lambda: self.models)], CONFIG)
        self.device.open()
        self.alone: dict[Case, list[int]] = {}

    def sequence(self, case: "Case", begun: Bookmark | None = None) -> Sequence:
        conditioning = nobody(self.models)
        utterance = Utterance(
            text=case.text,
            family=self.models.family.id,
            voice="nobody",
            language="en",
            sampling=case.sampling,
            conditioning=lambda: conditioning,
            begun=begun,
        )
        return Sequence(utterance=utterance, max_tokens=case.max_tokens, listener=Listener())

    def tokens_alone(self, case: "Case") -> list[int]:
        if case not in self.alone:
            (self.alone[case],) = self.run([case], {}, {}).values()
        return self.alone[case]

    def run(
        self,
        cases: list["Case"],
        joins: Mapping[int, int],
        leaves: Mapping[int, int],
        config: EngineConfig = CONFIG,
        begun: Mapping[int, Bookmark] | None = None,
    ) -> dict[int, list[int]]:
        """Decode the cases, the n-th joining at step joins[n] and cancelled at leaves[n]."""
        scheduler = Scheduler(config)
        sequences = {
            number: self.sequence(case, (begun or {}).get(number))
            for number, case in enumerate(cases)
        }
        step = 0
        while step == 0 or not scheduler.is_idle or step <= max(joins.values(), default=0):
            for number, sequence in sequences.items():
                if joins.get(number, 0) == step:
                    scheduler.submit(sequence, now_s=0.0)
                if leaves.get(number) == step and joins.get(number, 0) <= step:
                    scheduler.cancel(sequence, now_s=0.0)
                    self.device.forget(sequence)
            while (sequence := scheduler.admit(now_s=0.0)) is not None:
                scheduler.admitted(sequence, self.device.admit(sequence), now_s=0.0)
            plan = scheduler.plan(now_s=0.0)
            if not plan.is_empty:
                scheduler.commit(plan, self.device.draw(plan).result(), now_s=0.0)
            for chunk in scheduler.ready_to_speak(now_s=0.0, idle=True):
                scheduler.rendered(chunk, now_s=0.0)  # unheard: only the tokens matter here
                scheduler.delivered(chunk.sequence, duration_s=0.0, now_s=0.0)
            step += 1
            scheduler.check()
        for sequence in sequences.values():
            self.device.forget(sequence)
        return {number: sequence.tokens for number, sequence in sequences.items()}


@dataclass(frozen=True)
class Case:
    """One request."""

    text: str
    sampling: Sampling
    max_tokens: int


CASES = st.builds(
    Case,
    text=st.sampled_from(["Hi.", "The quick brown fox.", "A rather longer sentence, as they are."]),
    sampling=st.builds(
        Sampling,
        seed=st.integers(0, 3),
        temperature=st.sampled_from([None, 0.0, 0.5, 1.3]),
        exaggeration=st.sampled_from([None, 1.0]),
        cfg_weight=st.sampled_from([None, 0.0, 1.0]),
        top_p=st.sampled_from([None, 0.7]),
        top_k=st.sampled_from([None, 5]),
        min_p=st.sampled_from([None, 0.1]),
        repetition_penalty=st.sampled_from([None, 1.0, 2.0]),
    ),
    max_tokens=st.integers(1, 40),
)


@pytest.fixture(
    scope="module",
    params=[(GUIDED, "fp32"), (GUIDED, "int8"), (DIRECT, "fp32"), (DIRECT, "fp16")],
    ids=["guided", "guided int8", "direct", "direct fp16"],
)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(*request.param)


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_mixture_gives_each_request_the_tokens_it_gets_alone(
    bench: Bench, data: st.DataObject
) -> None:
    cases = data.draw(st.lists(CASES, min_size=2, max_size=6), label="cases")
    numbers = range(len(cases))
    joins = {n: data.draw(st.integers(0, 30), label=f"join {n}") for n in numbers}
    leavers = data.draw(st.sets(st.sampled_from(numbers), max_size=2), label="leavers")
    leaves = {n: joins[n] + data.draw(st.integers(0, 30), label=f"leave {n}") for n in leavers}
    config = replace(
        CONFIG,
        steps_per_sync=data.draw(st.sampled_from([1, 3]), label="steps"),
        prefill_positions=data.draw(st.sampled_from([3, 17, 256]), label="positions"),
    )

    together = bench.run(cases, joins, leaves, config)

    for number, tokens in together.items():
        expected = bench.tokens_alone(cases[number])
        if number in leaves:
            assert tokens == expected[: len(tokens)]
        else:
            assert tokens == expected


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_begun_elsewhere_a_request_gets_the_rest_of_its_tokens(
    bench: Bench, data: st.DataObject
) -> None:
    cases = data.draw(st.lists(CASES, min_size=1, max_size=3), label="cases")
    begun: dict[int, Bookmark] = {}
    for number, case in enumerate(cases):
        whole = bench.tokens_alone(case)
        count = data.draw(st.integers(0, len(whole)), label="drawn elsewhere")
        begun[number] = Bookmark(
            tokens=tuple(whole[:count]), voiced_count=0, finish=None, sound=b""
        )

    rest = bench.run(cases, {}, {}, begun=begun)

    assert rest == {number: bench.tokens_alone(case) for number, case in enumerate(cases)}


def test_the_seed_decides_the_tokens(bench: Bench) -> None:
    def tokens(seed: int) -> list[int]:
        return bench.tokens_alone(Case("The quick brown fox.", Sampling(seed=seed), 40))

    assert tokens(1) == bench.run([Case("The quick brown fox.", Sampling(seed=1), 40)], {}, {})[0]
    assert len({tuple(tokens(seed)) for seed in range(4)}) == 4


def test_only_speech_is_drawn(bench: Bench) -> None:
    case = Case("The quick brown fox.", Sampling(seed=5, temperature=5.0, min_p=0.0), 40)
    assert max(bench.tokens_alone(case)) < bench.models.family.t3.speech_codes


def test_no_utterance_stops_before_its_text_can_have_been_said(bench: Bench) -> None:
    text = "A rather longer sentence, as they are."
    for seed in range(6):
        case = Case(text, Sampling(seed=seed, temperature=5.0, min_p=0.0), 40)
        assert len(bench.tokens_alone(case)) >= 13
