"""What a voice's safetensors files hold: a recording, or a conditioning. Checked when read.

A file may come from anybody. What does not fit the models would fail every stream on the device.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from chatterbox.audio.clip import Clip
from chatterbox.errors import CheckpointError
from chatterbox.models.families import FAMILIES, Family

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

REFERENCE_HZ = 24_000
MAX_REFERENCE_S = 60.0  # twice what is taken in
MAX_PROMPT_TOKENS = 1_500  # a minute; ten seconds are usual
MAX_SPARE_FRAMES = 1  # of the prompt's mel, beyond two to the token
_REFERENCE = "reference"


def reference_bytes(clip: Clip) -> bytes:
    """A reference clip as the file that keeps it."""
    assert clip.sample_rate_hz == REFERENCE_HZ, "references are kept at one rate"
    return save({_REFERENCE: clip.samples}, metadata={"sample_rate_hz": str(REFERENCE_HZ)})


def read_reference(content: bytes) -> Clip:
    """The clip in such a file; raises CheckpointError."""
    try:
        samples = load(content)[_REFERENCE]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"the reference of a voice cannot be read: {error!r}") from error
    if samples.dtype != np.float32 or samples.ndim != 1:
        raise CheckpointError(
            f"a reference is float32 samples, not {samples.dtype} of shape {samples.shape}"
        )
    if not 0 < len(samples) <= MAX_REFERENCE_S * REFERENCE_HZ or not np.isfinite(samples).all():
        raise CheckpointError("a reference is up to a minute of samples that are numbers")
    return Clip(samples, REFERENCE_HZ)


def fingerprint_of(content: bytes) -> str:
    """The same for the same content, and only then."""
    return hashlib.sha256(content).hexdigest()


def read_conditioning(content: bytes, family: str) -> "Conditioning":
    """The conditioning in a file, fit for a family; raises CheckpointError."""
    # Here and not above: whoever only lists voices should not wait for torch.
    import torch

    from chatterbox.models.conditioning import Conditioning

    try:
        arrays = load(content)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        conditioning = Conditioning.from_tensors(tensors)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"a conditioning cannot be read: {error!r}") from error
    if family in FAMILIES:
        _check_fit(conditioning, FAMILIES[family])
    return conditioning


def _check_fit(conditioning: "Conditioning", family: Family) -> None:
    t3, s3gen = conditioning.t3, conditioning.s3gen
    fits = {
        "t3.speaker_embedding": tuple(t3.speaker_embedding.shape) == (1, family.t3.speaker_dim),
        "t3.prompt_tokens": t3.prompt_tokens.ndim == 2
        and t3.prompt_tokens.shape[0] == 1
        and t3.prompt_tokens.shape[1] <= family.t3.prompt_tokens
        and _all_below(t3.prompt_tokens.numpy(), family.t3.speech_codes),
        "s3gen.prompt_tokens": s3gen.prompt_tokens.ndim == 2
        and s3gen.prompt_tokens.shape[0] == 1
        and s3gen.prompt_tokens.shape[1] <= MAX_PROMPT_TOKENS
        and _all_below(s3gen.prompt_tokens.numpy(), family.s3gen.flow.codes),
        "s3gen.prompt_mel": s3gen.prompt_mel.ndim == 3
        and s3gen.prompt_tokens.ndim == 2
        and s3gen.prompt_mel.shape[::2] == (1, family.s3gen.flow.mel_bins)
        and 0 <= s3gen.prompt_mel.shape[1] - 2 * s3gen.prompt_tokens.shape[1] <= MAX_SPARE_FRAMES,
        "s3gen.x_vector": tuple(s3gen.x_vector.shape) == (1, family.s3gen.flow.x_vector),
    }
    fits |= {
        f"{name}, which holds what is no number,": bool(np.isfinite(tensor.numpy()).all())
        for name, tensor in conditioning.tensors().items()
        if tensor.is_floating_point()
    }
    wrong = [name for name, is_fit in fits.items() if not is_fit]
    if wrong:
        raise CheckpointError(f"{wrong[0]} of a voice does not fit the model {family.id!r}")


def _all_below(codes: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]", count: int) -> bool:
    return bool(((codes >= 0) & (codes < count)).all())
