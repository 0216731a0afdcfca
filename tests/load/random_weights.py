"""Checkpoints under the official names with random values that never end an utterance."""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from chatterbox.models.families import Family

_MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"
_COMPUTED = ("_mel_filters", "tokenizer.window")  # either side computes what a file leaves out
_SPEECH_CODES = 6561
_NEVER = -30.0


def write_checkpoints(folder: Path, family: Family, *, seed: int) -> None:
    """The files of one official family, of the shapes in tests/golden/manifests."""
    published = family.publication
    assert published is not None, "only official families have a reference"
    generator = torch.Generator().manual_seed(seed)
    s3gen = "s3gen_meanflow" if family.s3gen.flow.solver == "meanflow" else "s3gen"
    files = {f"t3_{family.id}": published.t3, s3gen: published.s3gen, "ve": published.voice_encoder}
    for manifest, file in files.items():
        save_file(_state(manifest, generator), folder / file.name)


def _state(manifest: str, generator: torch.Generator) -> dict[str, Tensor]:
    content = json.loads((_MANIFESTS / f"{manifest}.json").read_text("utf-8"))
    state = {
        key: _value(key, tuple(shape), getattr(torch, dtype), generator)
        for key, (shape, dtype) in content["state_dict"].items()
        if not key.endswith(_COMPUTED)
    }
    if "speech_head.weight" in state:  # a score of zero is never drawn, nor is one of -30
        state["speech_head.weight"][_SPEECH_CODES:] = 0.0
    if "speech_head.bias" in state:
        state["speech_head.bias"][_SPEECH_CODES:] = _NEVER
    return state


def _value(
    key: str, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    noise = torch.randn(shape, generator=generator)
    if key.endswith((".running_var", ".alpha", ".original0")):
        return 1.0 + 0.1 * noise.abs()
    if len(shape) <= 1:
        return 0.1 * noise + (1.0 if key.endswith(".weight") else 0.0)
    gain = 3.0 if key.startswith("speech_head") else 1.0
    if "conv_post" in key:
        gain = 0.3  # the magnitude is an exponential
    return noise * (gain / math.sqrt(math.prod(shape[1:])))
