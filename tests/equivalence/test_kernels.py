"""Our own kernels against their twins in torch, and a row against itself in company."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from chatterbox.models.kernels import attention, int8
from chatterbox.models.kernels.attention import KernelStepping
from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.kernels.int8 import KernelInt8Linear
from chatterbox.models.layers.quantized import Int8Linear
from chatterbox.models.t3.cache import KVCache, Stepping, plan_runs
from chatterbox.models.t3.config import T3Config

MAX_LENGTH = 700
ROWS, LENGTHS = [3, 4, 0, 5], [120, 120, 1, 699]  # of unequal lengths, two of them side by side


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def cache() -> KVCache:
    made = KVCache(T3Config.tiny(), rows=6, max_length=MAX_LENGTH)
    if not attention.has_kernel(made):
        pytest.skip("there is no C compiler")
    generator = torch.Generator().manual_seed(1)
    made.keys.normal_(generator=generator)
    made.values.normal_(generator=generator)
    return made


def asked(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as a fused projection leaves them, not contiguous."""
    heads = T3Config.tiny().heads
    projected = torch.randn(count, 1, 3, heads, 64, generator=torch.Generator().manual_seed(2))
    queries, keys, values = projected.transpose(1, 3).unbind(2)
    return 3 * queries, keys, values


@torch.inference_mode()
def test_attention_is_that_of_torch() -> None:
    ours, theirs = cache(), cache()
    runs = plan_runs(ROWS, LENGTHS)
    positions = torch.tensor(LENGTHS)[:, None] - 1
    new = asked(len(ROWS))
    expected = Stepping(theirs, runs, theirs.addresses(ROWS), positions).attend(1, *new)
    seen = KernelStepping(ours, runs).attend(1, *new)
    assert (seen - expected).abs().max() < 2e-6
    assert torch.equal(ours.keys, theirs.keys)
    assert torch.equal(ours.values, theirs.values)


@torch.inference_mode()
def test_a_row_sees_the_same_alone_and_in_company(threads: None) -> None:
    together, alone = cache(), cache()
    new = asked(len(ROWS))
    torch.set_num_threads(2)
    seen = KernelStepping(together, plan_runs(ROWS, LENGTHS)).attend(1, *new)
    torch.set_num_threads(1)
    for place, (row, length) in enumerate(zip(ROWS, LENGTHS, strict=True)):
        mine = [part[place : place + 1] for part in new]
        by_itself = KernelStepping(alone, plan_runs([row], [length])).attend(1, *mine)
        assert torch.equal(by_itself[0], seen[place])


@torch.inference_mode()
def test_what_is_watched_are_the_queries() -> None:
    watched = []
    new = asked(1)
    stepping = KernelStepping(
        cache(), plan_runs([2], [5]), lambda layer, queries: watched.append((layer, queries))
    )
    stepping.attend(3, *new)
    ((layer, queries),) = watched
    assert layer == 3
    assert torch.equal(queries, new[0])


def integer_layers(size: tuple[int, int], *, bias: bool) -> tuple[KernelInt8Linear, Int8Linear]:
    torch.manual_seed(3)
    layer = nn.Linear(*size, bias=bias)
    if not int8.has_kernel(layer):
        pytest.skip("there is no C compiler, or no AVX-512 VNNI")
    return KernelInt8Linear(layer), Int8Linear(layer)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(256, 768), (768, 256), (64, 4), (1024, 4100)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_integer_layer_is_that_of_torch(size: tuple[int, int], bias: bool) -> None:  # noqa: FBT001
    ours, theirs = integer_layers(size, bias=bias)
    for rows in (1, 2, 3, 4, 7, 65):
        x = torch.randn(rows, 1, size[0]) * torch.logspace(-3, 3, rows)[:, None, None]
        mine, expected = ours(x), theirs(x)
        # A number in the middle between two may be rounded either way.
        step = x.abs().amax(-1, keepdim=True) / 127 * expected.new_tensor(size[0]).rsqrt()
        assert mine.shape == expected.shape
        assert ((mine - expected).abs() <= 2 * step).all()
    assert torch.equal(ours(torch.zeros(2, size[0])), theirs(torch.zeros(2, size[0])))


@torch.inference_mode()
def test_an_integer_row_is_the_same_alone_and_in_company(threads: None) -> None:
    layer, _ = integer_layers((768, 2304), bias=True)
    x = torch.randn(11, 768)
    torch.set_num_threads(2)
    together = layer(x)
    torch.set_num_threads(1)
    assert all(torch.equal(layer(x[row : row + 1])[0], together[row]) for row in range(len(x)))


@torch.inference_mode()
def test_weights_that_lie_the_other_way_round_are_read_rightly() -> None:
    """As those of GPT-2 do."""
    torch.manual_seed(4)
    turned = nn.Linear(64, 128)
    turned.weight = nn.Parameter(turned.weight.detach().t().contiguous().t())
    if not int8.has_kernel(turned):
        pytest.skip("there is no C compiler, or no AVX-512 VNNI")
    x = torch.randn(3, 64)
    assert (KernelInt8Linear(turned)(x) - turned(x)).abs().max() < 0.05


def test_without_a_compiler_torch_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }\n")
    monkeypatch.setenv("CC", "")
    assert compiled(source) is None
    monkeypatch.setenv("CC", "no-such-compiler")
    compiled.cache_clear()
    assert compiled(source) is None
    assert not caplog.records
    compiled.cache_clear()


def test_what_does_not_compile_is_told_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound, broken = tmp_path / "two.c", tmp_path / "broken.c"
    sound.write_text("int two(void) { return 2; }\n")
    broken.write_text('#error "this processor is too old"\n')
    library = compiled(sound)
    if library is None:
        pytest.skip("there is no C compiler")
    assert library.two() == 2
    with caplog.at_level(logging.WARNING):
        assert compiled(broken) is None
    assert "this processor is too old" in caplog.text
