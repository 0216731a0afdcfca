"""Safetensors files into modules, strictly: every key, every shape, and nothing else.

Official files use upstream's names; `T3_NAMES` and `VOICE_ENCODER_NAMES` say what we call the
same tensors. A file may hold either, so weights we save ourselves need no table.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chatterbox.errors import CheckpointError

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Names = tuple[tuple[str, str], ...]

# Fragments of upstream's names and ours, replaced in this order.
T3_NAMES: Names = (
    ("tfmr.layers.", "backbone.blocks."),
    ("tfmr.h.", "backbone.blocks."),
    ("tfmr.norm.", "backbone.norm."),
    ("tfmr.ln_f.", "backbone.norm."),
    ("tfmr.embed_tokens.", "backbone.unused_embedding."),
    ("tfmr.wpe.", "backbone.position_embedding."),
    (".input_layernorm.", ".attention_norm."),
    (".post_attention_layernorm.", ".mlp_norm."),
    (".ln_1.", ".attention_norm."),
    (".ln_2.", ".mlp_norm."),
    (".self_attn.q_proj.", ".attention.query."),
    (".self_attn.k_proj.", ".attention.key."),
    (".self_attn.v_proj.", ".attention.value."),
    (".self_attn.o_proj.", ".attention.output."),
    (".attn.c_attn.", ".attention.query_key_value."),
    (".attn.c_proj.", ".attention.output."),
    (".mlp.gate_proj.", ".mlp.gate."),
    (".mlp.up_proj.", ".mlp.up."),
    (".mlp.down_proj.", ".mlp.down."),
    (".mlp.c_fc.", ".mlp.up."),
    (".mlp.c_proj.", ".mlp.down."),
    ("cond_enc.spkr_enc.", "conditioner.speaker."),
    ("cond_enc.emotion_adv_fc.", "conditioner.emotion."),
    ("cond_enc.perceiver.pre_attention_query", "conditioner.perceiver.queries"),
    ("cond_enc.perceiver.attn.", "conditioner.perceiver.attention."),
    (".to_q.", ".query."),
    (".to_k.", ".key."),
    (".to_v.", ".value."),
    (".proj_out.", ".output."),
    ("text_emb.", "text_embedding."),
    ("speech_emb.", "speech_embedding."),
    ("text_pos_emb.emb.", "text_position."),
    ("speech_pos_emb.emb.", "speech_position."),
)
VOICE_ENCODER_NAMES: Names = (("proj.", "projection."),)

# In the official files, but read by nothing when speaking: the language model's own word table
# and the head that predicts text.
T3_DROPPED = frozenset({"tfmr.wte.weight", "text_head.weight"})

# Left out of some official files; the S3 tokenizer computes them.
S3GEN_OPTIONAL = frozenset({"tokenizer._mel_filters", "tokenizer.window"})

_SHOWN = 5  # keys an error message lists before it counts the rest


def without_storage(build: Callable[[], AnyModule]) -> AnyModule:
    """A module whose parameters take no memory until `load_strict` gives them values."""
    with torch.device("meta"):
        return build()


def rename(key: str, names: Names) -> str:
    """Our name of an official key; a name that is ours already comes back as it is."""
    for theirs, ours in names:
        key = key.replace(theirs, ours)
    return key


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a sound safetensors file: {error}") from error


def load_strict(
    module: nn.Module,
    source: Path | Mapping[str, Tensor],
    *,
    names: Names = (),
    optional: Collection[str] = (),
    dropped: Collection[str] = (),
) -> None:
    """Fill `module` from a file or from tensors by name.

    Every parameter and buffer must be there with its shape, except those in `optional` (our
    names), which keep their value; nothing else may be there, except what `dropped` (official
    names) lists. Floats of any precision are converted to the module's. A mapping's tensors may
    be shared with the module. Raises CheckpointError and leaves the module as it was.
    """
    origin = str(source) if isinstance(source, Path) else "the given tensors"
    tensors = read_tensors(source) if isinstance(source, Path) else source
    given = {rename(key, names): value for key, value in tensors.items() if key not in dropped}
    wanted = module.state_dict()
    _check_keys(origin, given, wanted, optional)
    for key, value in given.items():
        _check_tensor(origin, key, value, wanted[key])
    unfilled = any(value.is_meta for value in wanted.values())
    state = {key: value.to(wanted[key].dtype) for key, value in given.items()}
    module.load_state_dict(state, strict=False, assign=unfilled)
    left = [key for key, value in module.state_dict().items() if value.is_meta]
    if left:
        raise CheckpointError(f"{origin} leaves without a value: {_listed(left)}")


def _check_keys(
    origin: str,
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    optional: Collection[str],
) -> None:
    missing = [key for key in wanted if key not in given and key not in optional]
    unknown = [key for key in given if key not in wanted]
    problems = []
    if missing:
        problems.append(f"{len(missing)} keys are missing: {_listed(missing)}")
    if unknown:
        problems.append(f"{len(unknown)} keys do not belong: {_listed(unknown)}")
    if problems:
        raise CheckpointError(f"{origin} does not fit the model; {'; '.join(problems)}")


def _check_tensor(origin: str, key: str, value: Tensor, wanted: Tensor) -> None:
    if value.shape != wanted.shape:
        raise CheckpointError(
            f"{origin} does not fit the model: {key} has shape {tuple(value.shape)}, "
            f"not {tuple(wanted.shape)}"
        )
    if value.is_floating_point() != wanted.is_floating_point():
        raise CheckpointError(
            f"{origin} does not fit the model: {key} is {value.dtype}, not {wanted.dtype}"
        )


def _listed(keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"
