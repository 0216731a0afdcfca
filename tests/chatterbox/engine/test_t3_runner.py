"""The T3 runner: a speaker's tokens are its own, however they are read, stepped and recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chatterbox.engine.batch import Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.prefix import PIECE, VoiceMemory
from chatterbox.engine.recording import Repetition, Work
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.engine.warm_up import nobody
from chatterbox.models.bundle import Models, random_models
from chatterbox.models.families import NANO, TINY, Family
from chatterbox.models.kernels import attention, int8
from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.precision import Precision
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import cast_t3, convert_t3
from chatterbox.speech import Sampling

SLOTS = 4
CONFIG = EngineConfig(slots=SLOTS, max_speech_tokens=40, max_text_tokens=64, threads=1)
# Heads of 64 and layers of multiples of 64, as the published ones: our kernels are for those.
GUIDED = replace(TINY, t3=replace(TINY.t3, layers=2, dim=128, heads=2, mlp_dim=192))
DIRECT = replace(
    NANO,
    t3=replace(
        NANO.t3,
        layers=2,
        dim=128,
        heads=2,
        mlp_dim=192,
        text_vocabulary=128,
        speech_vocabulary=203,
        speech_codes=201,
        start_speech=201,
        stop_speech=202,
        prompt_tokens=5,
        max_positions=300,
    ),
    s3gen=S3GenConfig.tiny(),
    closing_tokens=(),
)
WIDE = replace(CONFIG, max_text_tokens=200)
RECORDED = replace(WIDE, steps_per_sync=3)
FAMILIES = {"guided": GUIDED, "direct": DIRECT}


class Letters:
    """A tokenizer without files."""

    def encode(self, text: str, language: str) -> list[int]:
        return [ord(character) % 100 + 3 for character in text]


@cache
def models(kind: str, precision: Precision | None) -> Models:
    """Small and untrained, None for ordinary layers in bfloat16."""
    family: Family = FAMILIES[kind]
    torch.manual_seed(5)
    t3 = T3(family.t3).eval().requires_grad_(requires_grad=False)
    # Sharper scores than an untrained head gives, so that ends come at different places.
    t3.speech_head.weight *= 8
    if precision is None:
        cast_t3(t3, torch.bfloat16)
    else:
        convert_t3(t3, precision)
    return replace(random_models(family, Letters(), seed=3), t3=t3)


@dataclass(frozen=True)
class Case:
    """One utterance."""

    text: str
    sampling: Sampling
    count: int  # tokens at most

    def speaker(self, runner: T3Runner, family: Family, slot: int) -> Speaker:
        return runner.speaker(slot, family.settle(self.sampling), least_tokens=2)


CASES = st.builds(
    Case,
    text=st.sampled_from(["Hi.", "The quick brown fox.", "A rather longer sentence, as they are."]),
    sampling=st.builds(
        Sampling,
        seed=st.integers(0, 3),
        temperature=st.sampled_from([None, 0.0, 0.5, 1.3]),
        exaggeration=st.sampled_from([None, 1.0]),
        cfg_weight=st.sampled_from([None, 0.0, 1.0]),
        top_p=st.sampled_from([None, 0.7, 1.0]),
        top_k=st.sampled_from([None, 0, 5]),
        min_p=st.sampled_from([None, 0.1]),
        repetition_penalty=st.sampled_from([None, 1.0, 2.0]),
    ),
    count=st.integers(1, 40),
)
PLAIN = Case("The quick brown fox.", Sampling(seed=2, temperature=1.0), 40)

Tokens = tuple[int | None, ...]

_NEEDS_THE_HOST = ("item", "_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique")


class Tape(TorchDispatchMode):
    """A recorder of operations with the very tensors they read and wrote, as a CUDA graph is.

    Played again, it allocates nothing and knows no Python: what a step kept on the host, or put
    in a new tensor, is not seen by it. It also says what no graph may contain.
    """

    def __init__(self) -> None:
        super().__init__()
        self.played = 0
        self._operations: list[tuple[Callable[..., object], tuple, dict, list[Tensor]]] = []

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        name = func.overloadpacket.__name__
        assert name not in _NEEDS_THE_HOST, f"{name} waits for the device"
        result = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        fresh = [t for t in _tensors(result) if t.untyped_storage().data_ptr() not in given]
        self._operations.append((func, args, kwargs or {}, fresh))
        return result

    def play(self) -> None:
        self.played += 1
        for func, args, kwargs, recorded in self._operations:
            if recorded or func._schema.is_mutable:
                again = _tensors(func(*args, **kwargs))
                for old, new in zip(recorded, again, strict=bool(recorded)):
                    old.copy_(new)


def _tensors(tree: object) -> list[Tensor]:
    leaves = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return [leaf for leaf in leaves if leaf.layout is torch.strided]  # packed weights are not


class TapeRecorder:
    """A `Recorder` of tapes."""

    def __init__(self) -> None:
        self.tapes: list[Tape] = []

    def record(self, work: Work) -> Work:
        work()  # as on a GPU, where the first calls allocate
        tape = Tape()
        with tape:
            work()
        self.tapes.append(tape)
        return tape.play


@contextmanager
def torch_alone() -> Iterator[None]:
    """No kernels of ours: a tape records what torch dispatches, as a GPU does, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", "")
        compiled.cache_clear()
        yield
    compiled.cache_clear()


@cache
def dispatched(kind: str) -> Models:
    """To be made and used with `torch_alone`."""
    made: Models = models.__wrapped__(kind, "fp32")
    return made


def speak(made: Models, runner: T3Runner, case: Case, *, slot: int = 0, pieces: int = 99) -> Tokens:
    """What a case says alone, its prefix read in pieces of that many positions."""
    speaker = case.speaker(runner, made.family, slot)
    positions = runner.begin(speaker, made.tokenizer.encode(case.text, "en"), nobody(made).t3)
    for start in range(0, positions, pieces):
        runner.read(speaker, start, min(start + pieces, positions))
    tokens: Tokens = (runner.first(speaker),)
    while None not in tokens and len(tokens) < case.count:
        tokens += runner.decode([speaker])[0]
    runner.forget(speaker)
    return tokens


@cache
def alone(kind: str, precision: Precision, case: Case) -> Tokens:
    made = models(kind, precision)
    return speak(made, T3Runner(made, CONFIG), case)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kind", FAMILIES)
@given(data=st.data())
@settings(max_examples=25)
def test_any_mixture_of_speakers_gives_each_what_it_says_alone(
    kind: str, precision: Precision, data: st.DataObject
) -> None:
    made = models(kind, precision)
    cases = data.draw(st.lists(CASES, min_size=2, max_size=6), label="cases")
    runner = T3Runner(made, CONFIG)
    waiting = list(range(len(cases)))
    free = list(range(SLOTS))
    told: dict[int, Tokens] = {}
    speaking: dict[int, Speaker] = {}
    while waiting or speaking:
        if waiting and free and (not speaking or data.draw(st.booleans(), label="joins")):
            number = waiting.pop(0)
            slot = free.pop(data.draw(st.integers(0, len(free) - 1), label="slot"))
            speaker = cases[number].speaker(runner, made.family, slot)
            text = made.tokenizer.encode(cases[number].text, "en")
            told[number] = (runner.prefill(speaker, text, nobody(made).t3),)
            speaking[number] = speaker
        going = [number for number in speaking if told[number][-1] is not None]
        if going:
            drawn = runner.decode([speaking[number] for number in going], steps=1)
            for number, tokens in zip(going, drawn, strict=True):
                told[number] += tokens
        for number in [*speaking]:
            over = told[number][-1] is None or len(told[number]) >= cases[number].count
            if over or data.draw(st.integers(0, 40), label="leaves") == 0:
                free.append(speaking.pop(number).slot)

    for number, tokens in told.items():
        expected = alone(kind, precision, cases[number])
        common = min(len(tokens), len(expected))
        assert tokens[:common] == expected[:common]


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("steps", [2, 4, 7])
def test_several_steps_at_once_draw_what_single_ones_do(kind: str, steps: int) -> None:
    made = models(kind, "fp32")
    seeds = (1, 3, 4, 5)  # of which some end early
    cases = [replace(PLAIN, sampling=Sampling(seed=seed, temperature=1.0)) for seed in seeds]
    runner = T3Runner(made, CONFIG)
    speakers = [case.speaker(runner, made.family, slot) for slot, case in enumerate(cases)]
    told: list[Tokens] = [
        (runner.prefill(speaker, made.tokenizer.encode(PLAIN.text, "en"), nobody(made).t3),)
        for speaker in speakers
    ]
    while going := [n for n in range(4) if None not in told[n] and len(told[n]) < 40]:
        drawn = runner.decode([speakers[n] for n in going], steps)
        for number, tokens in zip(going, drawn, strict=True):
            assert len(tokens) == min(steps, 40 - len(told[number])) or tokens[-1] is None
            told[number] += tokens

    assert told == [alone(kind, "fp32", case) for case in cases]
    assert any(None in tokens for tokens in told), "an end in the middle of a turn was tried"


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_our_kernels_draw_is_what_torch_draws(
    kind: str, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.cache_clear()
    ours = alone(kind, precision, PLAIN)
    with monkeypatch.context() as without:
        for kernel in (attention, int8):
            without.setattr(kernel, "compiled", lambda source: None)
        models.cache_clear()
        theirs = alone(kind, precision, PLAIN)
    models.cache_clear()
    assert ours == theirs


LONG = replace(PLAIN, text="A sentence that goes on and on, and then goes on. " * 3)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("pieces", [1, 50, 100])
def test_a_prefix_read_in_pieces_is_understood_as_one_read_at_once(
    kind: str, precision: Precision, pieces: int
) -> None:
    made = models(kind, precision)
    at_once = speak(made, T3Runner(made, WIDE), LONG, pieces=999)

    assert speak(made, T3Runner(made, WIDE), LONG, pieces=pieces) == at_once


def test_no_more_is_read_at_a_time_than_a_piece_beyond_what_was_asked() -> None:
    made = models("direct", "fp32")
    runner = T3Runner(made, WIDE)
    speaker = LONG.speaker(runner, made.family, 0)
    positions = runner.begin(speaker, made.tokenizer.encode(LONG.text, "en"), nobody(made).t3)
    lengths = [0]
    for start in range(0, positions, 20):
        runner.read(speaker, start, min(start + 20, positions))
        lengths.append(speaker.length)

    assert lengths[-1] == positions
    assert max(after - before for before, after in pairwise(lengths)) <= 20 + PIECE


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_voice_heard_before_is_remembered_and_makes_no_difference(
    kind: str, precision: Precision
) -> None:
    made = models(kind, precision)
    runner = T3Runner(made, CONFIG)
    text = made.tokenizer.encode(PLAIN.text, "en")
    voice = nobody(made).t3
    positions = [
        runner.begin(PLAIN.speaker(runner, made.family, 0), text, conditioning)
        for conditioning in (voice, voice)
    ]
    said = [speak(made, runner, PLAIN, slot=slot) for slot in (0, 2)]
    again = runner.begin(PLAIN.speaker(runner, made.family, 0), text, voice)
    other = replace(voice, exaggeration=voice.exaggeration + 0.1)

    assert positions[0] == positions[1] > again, "begun is not yet read"
    assert runner.begin(PLAIN.speaker(runner, made.family, 0), text, other) == positions[0]
    assert said == [alone(kind, precision, PLAIN)] * 2


def test_voices_not_heard_for_longest_are_forgotten() -> None:
    memory = VoiceMemory(capacity_bytes=3 * 40)
    for name in (b"a", b"b", b"c"):
        memory.keep(name, torch.zeros(10))
    memory.recall(b"a")
    memory.keep(b"d", torch.ones(10))

    assert memory.size_bytes == 3 * 40
    assert memory.recall(b"b") is None
    assert memory.recall(b"a") is not None
    memory.keep(b"e", torch.zeros(100))
    assert memory.recall(b"e") is None, "it would not fit"
    assert memory.recall(b"d") is not None


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_newcomer_may_read_while_others_speak(kind: str) -> None:
    made = models(kind, "fp32")
    runner = T3Runner(made, CONFIG)
    text = made.tokenizer.encode(PLAIN.text, "en")
    older, newer = (PLAIN.speaker(runner, made.family, slot) for slot in (2, 1))
    told: Tokens = (runner.prefill(older, text, nobody(made).t3),)
    positions = runner.begin(newer, text, nobody(made).t3)
    for start in range(0, positions, 5):
        told += runner.decode([older])[0]
        runner.read(newer, start, min(start + 5, positions))
    heard: Tokens = (runner.first(newer),)
    for _ in range(3):
        heard += runner.decode([newer])[0]

    expected = alone(kind, "fp32", PLAIN)
    assert told == expected[: len(told)]
    assert heard == expected[:4]


def test_forgetting_an_earlier_occupant_leaves_the_slot_to_the_next() -> None:
    made = models("guided", "fp32")
    runner = T3Runner(made, CONFIG)
    text = made.tokenizer.encode(PLAIN.text, "en")
    earlier, later = (PLAIN.speaker(runner, made.family, 0) for _ in range(2))
    runner.prefill(earlier, text, nobody(made).t3)
    told: Tokens = (runner.prefill(later, text, nobody(made).t3),)
    runner.forget(earlier)
    told += runner.decode([later], steps=3)[0]

    assert told == alone("guided", "fp32", PLAIN)[:4]


@pytest.mark.parametrize("kind", FAMILIES)
@given(data=st.data())
@settings(max_examples=10)
def test_recorded_steps_draw_what_dispatched_ones_do(kind: str, data: st.DataObject) -> None:
    with torch_alone():
        check_recorded_steps(dispatched(kind), data)


def check_recorded_steps(made: Models, data: st.DataObject) -> None:
    recorder = TapeRecorder()
    runner = T3Runner(made, RECORDED, recorder=recorder)
    cases = data.draw(st.lists(CASES, min_size=2, max_size=5), label="cases")
    told: dict[int, Tokens] = {}
    speaking: dict[int, Speaker] = {}
    waiting = list(enumerate(cases))
    while waiting or speaking:
        free = set(range(SLOTS)) - {speaker.slot for speaker in speaking.values()}
        if waiting and free and (not speaking or data.draw(st.booleans(), label="joins")):
            number, case = waiting.pop(0)
            speaker = case.speaker(runner, made.family, max(free))
            text = made.tokenizer.encode(case.text, "en")
            told[number] = (runner.prefill(speaker, text, nobody(made).t3),)
            speaking[number] = speaker
        for number in [*speaking]:
            if told[number][-1] is None or len(told[number]) >= cases[number].count:
                runner.forget(speaking.pop(number))
        # Some pause: what is recorded steps their slots too.
        going = [number for number in speaking if data.draw(st.booleans(), label="goes on")]
        if going:
            drawn = runner.decode([speaking[n] for n in going], steps=data.draw(st.integers(1, 3)))
            for number, tokens in zip(going, drawn, strict=True):
                told[number] += tokens

    for number, tokens in told.items():
        expected = speak(made, T3Runner(made, CONFIG), cases[number])
        common = min(len(tokens), len(expected))
        assert tokens[:common] == expected[:common]
    assert len(recorder.tapes) <= 6, "a recording per width and reach, whoever speaks"


@pytest.mark.parametrize("kind", FAMILIES)
def test_recorded_steps_run_in_the_types_of_a_gpu(kind: str) -> None:
    """Ordinary layers and a cache in bfloat16: nobody alters the type on the way."""
    made = models(kind, None)
    told = []
    for recorder in (TapeRecorder(), Repetition()):
        runner = T3Runner(made, RECORDED, recorder=recorder)
        speakers = [PLAIN.speaker(runner, made.family, slot) for slot in range(3)]
        text = made.tokenizer.encode(PLAIN.text, "en")
        first = [(runner.prefill(speaker, text, nobody(made).t3),) for speaker in speakers]
        told.append((first, runner.decode(speakers, steps=3), runner.decode(speakers[1:], steps=2)))

    assert told[0] == told[1]


def test_all_recordings_are_made_before_anybody_speaks() -> None:
    case = replace(PLAIN, sampling=Sampling(seed=1, temperature=1.0))
    with torch_alone():
        made = dispatched("guided")
        recorder = TapeRecorder()
        runner = T3Runner(made, RECORDED, recorder=recorder)
        runner.prepare()
        count = len(recorder.tapes)
        expected = speak(made, T3Runner(made, CONFIG), case)
        told = speak(made, runner, case)

    assert count == 3 * 2, "for 1, 2 and 4 slots, two reaches"
    assert told == expected
    assert len(recorder.tapes) == count
