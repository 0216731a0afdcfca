"""Checkpoints load whole or not at all, and the error says what is wrong."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from chatterbox.errors import CheckpointError
from chatterbox.models.checkpoint import load_strict, rename, without_storage


class Small(nn.Module):
    """A parameter, a whole number, and a constant that files may leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("window", torch.ones(4, device="cpu"))


def state() -> dict[str, Tensor]:
    return {
        "linear.weight": torch.arange(6.0).reshape(3, 2),
        "linear.bias": torch.full((3,), 0.5),
        "count": torch.tensor(7),
        "window": torch.full((4,), 2.0),
    }


@pytest.mark.parametrize("built_on", ["cpu", "meta"])
def test_a_half_precision_file_loads_into_float32(tmp_path: Path, built_on: str) -> None:
    path = tmp_path / "small.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state().items()}, path)
    module = Small() if built_on == "cpu" else without_storage(Small)
    load_strict(module, path)

    for key, value in module.state_dict().items():
        assert value.dtype == state()[key].dtype
        assert torch.equal(value, state()[key])
    assert module.linear.weight.requires_grad


def test_upstream_names_and_ours_load_alike() -> None:
    names = (("lin.", "linear."),)
    theirs = {key.replace("linear.", "lin."): value for key, value in state().items()}
    for given in (theirs, state()):
        module = Small()
        load_strict(module, given, names=names)
        assert torch.equal(module.linear.weight, state()["linear.weight"])
    assert rename("linear.bias", names) == rename("lin.bias", names) == "linear.bias"


def test_optional_keys_keep_their_value_and_dropped_ones_are_passed_over() -> None:
    module = without_storage(Small)
    given = {key: value for key, value in state().items() if key != "window"}
    load_strict(module, given | {"extra": torch.ones(1)}, optional={"window"}, dropped={"extra"})

    assert torch.equal(module.window, torch.ones(4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"linear.bias": None}, "missing: linear.bias"),
        ({"window": None}, "missing: window"),
        ({"other": torch.ones(1)}, "do not belong: other"),
        ({"linear.bias": torch.ones(4)}, r"linear.bias has shape \(4,\), not \(3,\)"),
        ({"count": torch.tensor(1.0)}, "count is torch.float32, not torch.int64"),
        ({"linear.bias": torch.ones(3, dtype=torch.int64)}, "linear.bias is torch.int64"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    tmp_path: Path, change: dict[str, Tensor | None], said: str
) -> None:
    path = tmp_path / "wrong.safetensors"
    changed = state() | change
    save_file({key: value for key, value in changed.items() if value is not None}, path)
    module = Small()
    before = module.linear.weight.clone()

    with pytest.raises(CheckpointError, match=said) as refusal:
        load_strict(module, path)
    assert str(path) in refusal.value.message
    assert torch.equal(module.linear.weight, before)


def test_a_missing_truncated_or_foreign_file_is_named(tmp_path: Path) -> None:
    sound = tmp_path / "sound.safetensors"
    save_file(state(), sound)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(sound.read_bytes()[:-9])
    foreign = tmp_path / "foreign.safetensors"
    torch.save(state(), foreign)
    empty = tmp_path / "empty.safetensors"
    empty.touch()

    for path in (truncated, foreign, empty, tmp_path, tmp_path / "nowhere.safetensors"):
        with pytest.raises(CheckpointError) as refusal:
            load_strict(Small(), path)
        assert str(path) in refusal.value.message
