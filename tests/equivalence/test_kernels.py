"""Our own kernels against their twins in torch, and a row against itself in company."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.kernels import attention, fp32, int8, rows, snake
from chatterbox.models.kernels.attention import KernelStepping
from chatterbox.models.kernels.compiler import compiled
from chatterbox.models.kernels.fp32 import KernelConvolution, KernelLinear
from chatterbox.models.kernels.int8 import KernelInt8Linear
from chatterbox.models.layers.convolution import channels_innermost
from chatterbox.models.layers.linear import HalfWeightLinear
from chatterbox.models.layers.quantized import Int8Linear
from chatterbox.models.t3.cache import KVCache, Stepping, plan_runs
from chatterbox.models.t3.config import T3Config

MAX_LENGTH = 700
ROWS, LENGTHS = [3, 4, 0, 5], [120, 120, 1, 699]  # of unequal lengths, two of them side by side


def need(kernel: bool) -> None:  # noqa: FBT001
    """Skip a test on machines that have no such kernel."""
    if not kernel:
        pytest.skip("there is no C compiler, or the processor is too old")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def cache(dtype: torch.dtype = torch.float32) -> KVCache:
    made = KVCache(T3Config.tiny(), rows=6, max_length=MAX_LENGTH, dtype=dtype)
    need(attention.has_kernel(made))
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
def test_attention_to_halves_is_that_to_the_same_numbers_in_full() -> None:
    ours, theirs = cache(torch.float16), cache()
    theirs.keys.copy_(ours.keys)
    theirs.values.copy_(ours.values)
    runs = plan_runs(ROWS, LENGTHS)
    queries, keys, values = asked(len(ROWS))
    positions = torch.tensor(LENGTHS)[:, None] - 1
    rounded = keys.half().float(), values.half().float()
    expected = Stepping(theirs, runs, theirs.addresses(ROWS), positions).attend(
        1, queries, *rounded
    )
    seen = KernelStepping(ours, runs).attend(1, queries, keys, values)
    assert (seen - expected).abs().max() < 2e-6
    assert torch.equal(ours.keys, theirs.keys.half())
    assert torch.equal(ours.values, theirs.values.half())


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
    need(int8.has_kernel(layer))
    return KernelInt8Linear(layer), Int8Linear(layer)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(256, 768), (768, 256), (64, 4), (80, 130), (1024, 4100)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_integer_layer_is_that_of_torch(size: tuple[int, int], bias: bool) -> None:  # noqa: FBT001
    ours, theirs = integer_layers(size, bias=bias)
    for count in (1, 2, 3, 4, 7, 65):
        x = torch.randn(count, 1, size[0]) * torch.logspace(-3, 3, count)[:, None, None]
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
    need(int8.has_kernel(turned))
    x = torch.randn(3, 64)
    assert (KernelInt8Linear(turned)(x) - turned(x)).abs().max() < 0.05


@torch.inference_mode()
@pytest.mark.parametrize("size", [(256, 768), (768, 48), (80, 130), (7, 5), (1024, 4100)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_that_of_torch(size: tuple[int, int], bias: bool) -> None:  # noqa: FBT001
    torch.manual_seed(3)
    layer = nn.Linear(*size, bias=bias)
    need(fp32.has_kernel(layer))
    for count in (1, 2, 3, 7, 8, 9, 65):
        x = torch.randn(count, 1, size[0])
        assert (KernelLinear(layer)(x) - layer(x)).abs().max() < 1e-5


@torch.inference_mode()
def test_weights_in_half_the_bits_are_those_rounded() -> None:
    torch.manual_seed(3)
    layer = nn.Linear(256, 130)
    need(fp32.has_kernel(layer))
    x = torch.randn(9, 256)
    ours = KernelLinear(layer, torch.float16)(x)
    expected = functional.linear(x, layer.weight.half().float(), layer.bias)
    assert (ours - expected).abs().max() < 1e-5
    assert (HalfWeightLinear(layer)(x) - ours).abs().max() < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_row_is_the_same_alone_and_in_company(threads: None, dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    plain = nn.Linear(768, 2304)
    need(fp32.has_kernel(plain))
    layer = KernelLinear(plain, dtype)
    x = torch.randn(13, 768)
    torch.set_num_threads(2)
    together = layer(x)
    torch.set_num_threads(1)
    assert all(torch.equal(layer(x[row : row + 1])[0], together[row]) for row in range(len(x)))


@torch.inference_mode()
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("taps", "channels"), [(1, (320, 256)), (3, (256, 256)), (5, (7, 50))])
def test_a_convolution_is_that_of_torch(
    taps: int, channels: tuple[int, int], dilation: int
) -> None:
    torch.manual_seed(3)
    layer = nn.Conv1d(*channels, taps, dilation=dilation)
    need(fp32.has_kernel(layer))
    ours = KernelConvolution(layer)
    x = torch.randn(3, channels[0], 70)
    for given in (x, channels_innermost(x), x[..., :11]):
        mine = ours(given)
        assert (mine - layer(given)).abs().max() < 1e-5
        assert mine.transpose(1, 2).is_contiguous()
    assert torch.equal(ours(x[1:2])[0], ours(x)[1])
    assert torch.equal(ours(x[..., 5:40]), ours(x)[..., 5 : 40 - (taps - 1) * dilation])


def test_what_is_no_plain_convolution_is_left_to_torch() -> None:
    assert not fp32.has_kernel(nn.Conv1d(16, 16, 3, padding=1))
    assert not fp32.has_kernel(nn.Conv1d(16, 16, 3, stride=2))
    assert not fp32.has_kernel(nn.Conv1d(16, 16, 3, groups=2))
    assert not fp32.has_kernel(nn.Conv1d(16, 16, 3, dtype=torch.bfloat16))


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_the_snake_is_that_of_torch(dtype: torch.dtype, bound: float) -> None:
    torch.manual_seed(6)
    x = channels_innermost(torch.randn(2, 48, 33) * torch.logspace(-3, 2, 33)).to(dtype)
    need(snake.has_kernel(x))
    alpha = torch.rand(48) + 0.1
    mine = snake.snake(x, alpha, 1 / alpha)
    exact, a = x.double(), alpha.double()[:, None]
    expected = exact + torch.sin(a * exact) ** 2 / a
    assert mine.dtype == dtype
    assert ((mine - expected).abs() <= bound * (1 + expected.abs())).all()


@torch.inference_mode()
@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
@pytest.mark.parametrize("eps", [1e-12, 1e-5])
def test_a_norm_is_that_of_torch(make: type[nn.LayerNorm | nn.RMSNorm], eps: float) -> None:
    torch.manual_seed(7)
    norm = make(96, eps=eps)
    for parameter in norm.parameters():
        parameter.copy_(torch.randn(96))
    need(rows.has_norm(norm))
    x = torch.randn(3, 500, 96) * torch.logspace(-1, 3, 500)[:, None] + 5
    ours = rows.KernelNorm(norm)
    assert (ours(x) - norm(x)).abs().max() < 2e-5
    assert torch.equal(ours(x[1, 7:8])[0], ours(x)[1, 7])


@torch.inference_mode()
def test_activations_are_those_of_torch() -> None:
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-1e30, -100, 0.0, 100, 1e30])])
    x = functional.pad(x, (0, -len(x) % 32)).view(1, 2, -1)
    need(rows._fits(x, x.shape[-1]))
    bound = 3e-7 * (1 + x.abs())
    assert ((rows.gelu(x) - functional.gelu(x.double())).abs() <= bound).all()
    tanh = functional.gelu(x.double(), approximate="tanh")
    assert ((rows.gelu_tanh(x) - tanh).abs() <= bound).all()
    pairs = torch.cat([x, torch.ones_like(x)], dim=-1)
    assert ((rows.silu_gate(pairs) - functional.silu(x.double())).abs() <= bound).all()
    doubled = torch.cat([x, 2 * torch.ones_like(x)], dim=-1)
    assert torch.equal(rows.silu_gate(doubled), 2 * rows.silu_gate(pairs))


def test_what_is_to_be_trained_is_left_to_torch() -> None:
    x = torch.randn(2, 32, requires_grad=True)
    rows.gelu(x).sum().backward()
    assert x.grad is not None


def test_what_is_no_vocoders_is_left_to_torch() -> None:
    outermost = torch.randn(1, 48, 33)
    assert not snake.has_kernel(outermost)
    assert not snake.has_kernel(channels_innermost(torch.randn(1, 40, 33)))
    assert not snake.has_kernel(channels_innermost(outermost).half())


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
