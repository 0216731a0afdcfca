"""A pass that is repeated by one call, against the same pass called kernel by kernel."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chatterbox.models.families import ENGLISH, NANO, TINY
from chatterbox.models.kernels import rows
from chatterbox.models.kernels.attention import KernelStepping, cache_dtype, has_kernel
from chatterbox.models.kernels.program import can_repeat, current, recorded
from chatterbox.models.layers.rotary import RotaryTable, rotary_frequencies, turn
from chatterbox.models.precision import Precision
from chatterbox.models.t3.cache import KVCache, Run, plan_runs
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import convert_t3

ROWS = [0, 1, 4]
CONFIGS = {"gpt2": NANO.t3, "llama": ENGLISH.t3, "tiny": TINY.t3}


def small(kind: str) -> T3Config:
    config = CONFIGS[kind]
    return replace(config, layers=2, dim=2 * config.head_dim, heads=2, mlp_dim=192)


def made(kind: str, precision: Precision) -> tuple[T3, KVCache]:
    config = small(kind)
    torch.manual_seed(1)
    t3 = T3(config).eval().requires_grad_(requires_grad=False)
    convert_t3(t3, precision)
    cache = KVCache(config, rows=6, max_length=200, dtype=cache_dtype(config.head_dim, precision))
    backbone = t3.backbone
    if not (has_kernel(cache) and can_repeat(backbone.blocks, backbone.norm, t3.speech_head)):
        pytest.skip("there is no C compiler, or the processor is too old")
    return t3, cache


class Only(TorchDispatchMode):
    """Raises where torch computes: a program would not repeat it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        new = {place(t) for t in tree_leaves(out) if isinstance(t, Tensor)}
        is_room = "empty" in str(func)
        assert is_room or new <= given, f"{func} would not be repeated"
        return out


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def inputs(t3: T3, seed: int, lengths: list[int]) -> tuple[Tensor, Tensor, list[Run]]:
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(len(ROWS), 1, t3.config.dim, generator=generator)
    positions = torch.tensor(lengths)[:, None]
    x, places = t3.backbone.place(embeds, positions)
    return x.clone(), places.clone(), plan_runs(ROWS, [length + 1 for length in lengths])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kind", CONFIGS)
@torch.inference_mode()
def test_a_repeated_pass_is_the_pass(kind: str, precision: Precision) -> None:
    t3, ours = made(kind, precision)
    _, theirs = made(kind, precision)
    x, places, runs = inputs(t3, 0, [0, 3, 90])
    memory = KernelStepping(ours, runs)
    with recorded() as program, Only():
        scores = t3.scores(x, places, memory)
    assert program.is_whole
    assert current() is None
    for step in range(4):
        new_x, new_places, runs = inputs(t3, step, [step, 3 + step, 90 + 2 * step])
        expected = t3.scores(new_x, new_places, KernelStepping(theirs, runs))
        x.copy_(new_x)
        places.copy_(new_places)
        memory.move(runs)
        scores.zero_()
        program.run()
        assert torch.equal(scores, expected)
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)


@torch.inference_mode()
def test_a_pass_with_a_layer_of_torch_is_not_repeated() -> None:
    t3, _ = made("gpt2", "fp32")
    assert can_repeat(t3.backbone.blocks)
    t3.backbone.blocks[1].mlp.up = nn.Linear(128, 192)
    assert not can_repeat(t3.backbone.blocks)


@torch.inference_mode()
def test_what_torch_does_in_between_is_noticed() -> None:
    made("gpt2", "fp32")
    with recorded() as program:
        rows.add(torch.ones(2, 16), torch.ones(2, 16))
    assert program.is_whole
    assert len(program) == 1
    with recorded() as program:
        rows.add(torch.ones(2, 15), torch.ones(2, 15))
    assert not program.is_whole
    with pytest.raises(AssertionError, match="no kernel"):
        program.run()


def test_programs_do_not_lie_within_each_other() -> None:
    with recorded(), pytest.raises(AssertionError, match="one at a time"), recorded():
        pass
    assert current() is None


@pytest.fixture
def table() -> RotaryTable:
    return RotaryTable(rotary_frequencies(64, 10_000.0), 500)


@pytest.mark.parametrize(("count", "time"), [(3, 1), (2, 7), (1, 9)])
@torch.inference_mode()
def test_turns_are_those_of_torch(table: RotaryTable, count: int, time: int) -> None:
    projected = torch.randn(count, time, 3, 2, 64)
    places = table.as_turns()(torch.randint(0, 500, (count, time)))
    by_kernel = rows.turn(projected[:, :, :2], places)
    if by_kernel is None:
        pytest.skip("there is no C compiler, or the processor is too old")
    pairs = torch.view_as_complex(projected[:, :, :2].reshape(count, time, 2, 2, -1, 2))
    expected = torch.view_as_real(pairs * places).flatten(-2)
    assert (by_kernel - expected).abs().max() < 1e-6
    assert torch.equal(turn(projected[:, :, :2], places), by_kernel)


@torch.inference_mode()
def test_sums_are_those_of_torch() -> None:
    x, y = torch.randn(3, 5, 48), torch.randn(3, 5, 48)
    assert torch.equal(rows.add(x, y), x + y)
    assert torch.equal(rows.add(x, y[:, :1]), x + y[:, :1])
