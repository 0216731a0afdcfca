"""Recordings: what somebody sent as a file, heard, judged and made ready to be cloned."""

import asyncio
from dataclasses import dataclass

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import Decoder
from chatterbox.audio.rates import soxr
from chatterbox.errors import InvalidRequest
from chatterbox.voices import quality
from chatterbox.voices.tensors import REFERENCE_HZ, fingerprint_of, reference_bytes
from chatterbox.voices.voice import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording that is good enough."""

    clip: Clip  # as a voice keeps it, at 24 kHz
    content: bytes  # the file that keeps it
    reference: Reference


async def hear(data: bytes, decoder: Decoder, *, field: str = "audio") -> Recording:
    """Decode and judge a recording of 3 to 30 seconds.

    Raises InvalidRequest naming `field`, with what to record instead, or Overloaded.
    """
    if not data:
        raise InvalidRequest("the recording is empty", field=field, reason="REQUIRED")
    # A second more than is taken, to tell what is too long from what ends there.
    decoded = await decoder.decode(data, max_seconds=quality.MAX_S + 1.0, field=field)
    return await asyncio.to_thread(assess, decoded.clip, field=field)


def assess(clip: Clip, *, field: str = "audio") -> Recording:
    """Judge a clip at the rate it was recorded at; raises InvalidRequest as `hear`."""
    quality.check_duration(clip.duration_s, field=field)
    if not np.isfinite(clip.samples).all():
        raise InvalidRequest(
            "the recording holds samples that are not numbers",
            field=field,
            reason="AUDIO_UNREADABLE",
        )
    measured = quality.measure(_within_scale(clip))
    quality.check(measured, field=field)
    kept = soxr(_within_scale(clip), REFERENCE_HZ)
    content = reference_bytes(kept)
    reference = Reference(fingerprint=fingerprint_of(content), quality=measured)
    return Recording(clip=kept, content=content, reference=reference)


def _within_scale(clip: Clip) -> Clip:
    """Floating-point files may be louder than full scale without being distorted."""
    peak = np.abs(clip.samples).max(initial=0.0)
    return Clip(clip.samples / peak, clip.sample_rate_hz) if peak > 1.0 else clip
