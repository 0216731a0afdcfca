"""The sample voice of an official repository, `conds.pt`, as an archive of ours.

It is a pickle. torch reads it with `weights_only`, which runs no code but has had holes, so it is
opened where the file lies, by whoever trusts it, and never by a server.
"""

import pickle
from pathlib import Path
from typing import Any

from chatterbox.errors import CheckpointError, InvalidRequest
from chatterbox.models.families import FAMILIES
from chatterbox.voices.archive import pack
from chatterbox.voices.store import conditioning_name
from chatterbox.voices.tensors import read_conditioning
from chatterbox.voices.voice import Voice

MAX_BYTES = 16 * 1024 * 1024


def read_published(path: Path, *, family: str, voice_id: str) -> bytes:
    """The archive of a published voice; raises InvalidRequest for what is none."""
    import torch
    from safetensors.torch import save

    if family not in FAMILIES:
        raise InvalidRequest(f"there is no model family {family!r}", field="family")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        content = save(_tensors(torch.load(path, map_location="cpu", weights_only=True)))
        read_conditioning(content, family)
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError),
        *(pickle.UnpicklingError, CheckpointError),
    ) as error:
        raise InvalidRequest(
            f"{path} is no published voice of {family!r}: {error}", field="archive"
        ) from error
    voice = Voice(
        id=voice_id,
        display_name=voice_id.replace("-", " ").title(),
        description=f"The voice published with {FAMILIES[family].display_name}.",
        families=(family,),
    )
    return pack(voice, {conditioning_name(family): content})


def _tensors(conds: Any) -> dict[str, Any]:
    """By our names; what is not used (`clap_emb`, `emotion_adv`) is left out."""
    t3, s3gen = conds["t3"], conds["gen"]
    found = {
        "t3.speaker_embedding": t3["speaker_emb"].float(),
        "t3.prompt_tokens": t3["cond_prompt_speech_tokens"].long(),
        "s3gen.prompt_tokens": s3gen["prompt_token"].long(),
        "s3gen.prompt_mel": s3gen["prompt_feat"].float(),
        "s3gen.x_vector": s3gen["embedding"].float(),
    }
    return {name: tensor.contiguous().clone() for name, tensor in found.items()}
