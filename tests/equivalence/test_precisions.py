"""What each precision of T3 costs: how far its scores are from float32, on random weights.

Trained and random weights are alike here: the error of a product of rounded numbers depends on
how many are added and how they are spread, not on what they mean. The bounds are twice what was
measured; word errors of the bundled voice are in docs/performance.md.
"""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from chatterbox.errors import ConfigError
from chatterbox.models.layers.linear import check_kernels
from chatterbox.models.precision import Precision
from chatterbox.models.t3.cache import KVCache, Reading, Stepping, plan_runs
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import cast_t3, convert_t3

CONFIGS = {
    "llama": replace(T3Config.english(), layers=6, text_vocabulary=300),
    "gpt2": replace(T3Config.nano(), layers=6, text_vocabulary=300, max_positions=600),
}
ALL: tuple[Precision, ...] = ("fp32", "bf16", "fp16", "int8")

# Root mean square of the scores' error over their spread.
BOUNDS: dict[Precision, float] = {"fp32": 2e-6, "fp16": 1e-3, "bf16": 1.3e-2, "int8": 5e-2}


@cache
def t3(kind: str, precision: Precision | None) -> T3:
    torch.manual_seed(5)
    model = T3(CONFIGS[kind]).eval().requires_grad_(requires_grad=False)
    for block in model.backbone.blocks:  # as loud as the embeddings, or the layers do nothing
        for parameter in block.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[0] ** -0.5)
    if precision is not None:
        convert_t3(model, precision)
    return model


def embeds(model: T3, rows: int, time: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, time, model.config.dim, generator=generator)


@torch.inference_mode()
@pytest.mark.parametrize("precision", ALL)
@pytest.mark.parametrize("kind", CONFIGS)
def test_scores_are_near_those_of_float32(kind: str, precision: Precision) -> None:
    exact, packed = t3(kind, None), t3(kind, precision)
    x = embeds(exact, 2, 40)
    expected = exact.speech_head(exact.hidden(x))
    error = packed.speech_head(packed.hidden(x)) - expected

    distance = float(error.square().mean().sqrt() / expected.std())
    assert distance < BOUNDS[precision]
    assert distance > BOUNDS[precision] / 4, "the bound says something"


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", CONFIGS)
def test_ordinary_layers_of_a_shorter_type_as_on_a_gpu_are_near_too(
    kind: str, dtype: torch.dtype
) -> None:
    """Here the sums between the layers are rounded as well."""
    exact, cast = t3(kind, None), deepcopy(t3(kind, None))
    cast_t3(cast, dtype)
    x = embeds(exact, 2, 40)
    expected = exact.speech_head(exact.hidden(x))
    error = cast.speech_head(cast.hidden(x.to(dtype))).float() - expected

    distance = float(error.square().mean().sqrt() / expected.std())
    assert distance < (2.5e-2 if dtype == torch.bfloat16 else 3e-3)


@torch.inference_mode()
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_int8_row_is_the_same_to_the_last_bit_in_any_company(kind: str) -> None:
    """In int8 one last bit can tip a rounding and be heard; in the others it stays a last bit."""
    model = t3(kind, "int8")
    lengths, rows = [30, 17, 30, 30, 9], [3, 4, 6, 7, 0]
    cache = KVCache(model.config, rows=8, max_length=64)
    x = embeds(model, len(rows), 40)
    steps = embeds(model, len(rows), 3)

    def read() -> None:
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            positions = torch.arange(length)[None]
            memory = Reading(cache, slice(row, row + 1), slice(0, length))
            model(x[place : place + 1, :length], positions, memory)

    def step(places: list[int], number: int) -> Tensor:
        held = [lengths[place] + number for place in places]
        chosen = [rows[place] for place in places]
        positions = torch.tensor(held)[:, None]
        runs = plan_runs(chosen, [length + 1 for length in held])
        memory = Stepping(cache, runs, cache.addresses(chosen), positions)
        return model(steps[places, number : number + 1], positions, memory)

    read()
    together = [step([0, 1, 2, 3, 4], number) for number in range(3)]
    read()
    for place in range(len(rows)):
        for number in range(3):
            assert torch.equal(step([place], number)[0], together[number][place])


def test_a_precision_without_a_kernel_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(ConfigError, match="int8"):
        check_kernels("int8", torch.device("cuda"))
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(ConfigError, match="int8 needs a CPU with AVX-512 VNNI"):
        check_kernels("int8", cpu)
    check_kernels("fp32", cpu)
