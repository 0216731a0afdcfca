"""Resuming a stream of speech from its tokens, on another device than the one that began it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from chatterbox.errors import InvalidRequest
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.s3gen.stream import (
    FRAMES_PER_TOKEN,
    ChunkInput,
    StreamSettings,
    StreamState,
    listen,
)

_KEEPSAKE = ("mel", "f0", "phases", "foretaste")


def keepsake(state: StreamState) -> dict[str, Tensor]:
    """The little of a state that cannot be made anew from tokens: what the vocoder goes on with."""
    return {name: getattr(state, name) for name in _KEEPSAKE}


@torch.inference_mode()
def resume_stream(
    s3gen: S3Gen,
    begun: ChunkInput,
    ends: Sequence[int],
    kept: Mapping[str, Tensor],
    settings: StreamSettings,
) -> StreamState:
    """The state behind chunks that end at `ends`, in tokens, as it was when they were rendered.

    `begun` has the state before the first chunk and the tokens of all, with the look-ahead of the
    last; `kept` is the `keepsake` behind it. The flow listens again, chunk by chunk, to what its
    window reaches, and to at least `resume_tokens`: a bounded piece of work, and the exact
    state if the stream is no longer than that. Raises InvalidRequest for a keepsake of another
    shape.
    """
    state, tokens = begun.state, begun.tokens
    parts = _checked(kept, state, s3gen, settings)
    starts = [0, *ends[:-1]]
    least = max(settings.resume_tokens, settings.window_tokens)
    first = bisect_right(starts, max(0, ends[-1] - least)) - 1
    state = replace(state, tokens=starts[first], since=starts[first])
    for end in ends[first:]:
        chunk = replace(
            begun,
            state=state,
            tokens=tokens[state.tokens : end + settings.right_tokens],
            kept=end - state.tokens,
        )
        _, (flow,) = listen([chunk], s3gen.flow.extend)
        state = replace(state, tokens=end, flow=flow)
    frames = FRAMES_PER_TOKEN * ends[-1] - begun.prompt.overhang
    return replace(
        state,
        frames=frames,
        mel=parts["mel"],
        f0=parts["f0"],
        phases=parts["phases"],
        foretaste=parts["foretaste"],
    )


def _checked(
    kept: Mapping[str, Tensor], blank: StreamState, s3gen: S3Gen, settings: StreamSettings
) -> dict[str, Tensor]:
    """The parts of a keepsake on this device, if their shapes are possible."""
    limits = {
        "mel": settings.vocoder_frames,
        "f0": settings.vocoder_frames,
        "phases": 1,
        "foretaste": round(settings.overlap_s * s3gen.sample_rate_hz),
    }
    parts = {name: kept[name] for name in _KEEPSAKE if name in kept}
    is_sound = len(parts) == len(_KEEPSAKE) and all(
        part.shape[:-1] == getattr(blank, name).shape[:-1]
        and part.shape[-1] <= limits[name]
        and bool(part.isfinite().all())
        for name, part in parts.items()
    )
    if not is_sound or parts["mel"].shape[-1] != parts["f0"].shape[-1]:
        raise InvalidRequest("the mark is none of this family's", reason="RESUME_INVALID")
    return {name: part.to(getattr(blank, name)) for name, part in parts.items()}
