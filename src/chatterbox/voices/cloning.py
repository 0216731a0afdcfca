"""Cloning: a reference clip to the conditioning of a voice; and speech into another voice.

A clip is read three ways, as the models were trained: the VoiceEncoder hears all of it, T3's
prompt is the tokens of its first seconds, S3Gen keeps its first ten seconds.
"""

import math
import warnings
from collections.abc import Generator

import numpy as np
import pyloudnorm
import torch

from chatterbox.audio import resample
from chatterbox.audio.clip import Clip
from chatterbox.errors import InvalidRequest
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.voice_encoder.features import at_level
from chatterbox.models.voice_encoder.model import VoiceEncoder
from chatterbox.voices.rules import ReferenceRules

_REFERENCE_HZ = 24000
_LISTENING_HZ = 16000
_TOKEN_HZ = 25
_S3GEN_REFERENCE_S = 10.0
_LOUDNESS_BLOCK_S = 0.4  # BS.1770 measures nothing shorter
_TARGET_LUFS = -27.0


def clone(
    clip: Clip, rules: ReferenceRules, *, voice_encoder: VoiceEncoder, s3gen: S3Gen
) -> Conditioning:
    """The voice of a clip at any rate, on the device of the models.

    Raises InvalidRequest when the clip is too short for the family or holds no numbers.
    """
    pieces = clone_in_pieces(clip, rules, voice_encoder=voice_encoder, s3gen=s3gen)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            voice: Conditioning = end.value
            return voice


@torch.inference_mode()
def clone_in_pieces(
    clip: Clip, rules: ReferenceRules, *, voice_encoder: VoiceEncoder, s3gen: S3Gen
) -> Generator[None, None, Conditioning]:
    """`clone`, stopping after each network, so that a device can do something else in between.

    What comes of it is on the CPU, whatever the device: whoever speaks with it is on a lane of its own.
    """
    _check_reference(clip, rules)
    reference = resample.soxr(clip, _REFERENCE_HZ)
    if rules.levelled:
        reference = _scaled(reference, loudness_gain(reference))
    device = next(s3gen.parameters()).device
    listened = torch.from_numpy(resample.soxr(reference, _LISTENING_HZ).samples).to(device)
    wav = torch.from_numpy(reference.samples[: int(_S3GEN_REFERENCE_S * _REFERENCE_HZ)])
    heard = listened if rules.speaker_dbfs is None else at_level(listened, rules.speaker_dbfs)
    speaker = voice_encoder.embed(heard)[None]
    yield
    x_vector = speaker if s3gen.speaker_encoder is None else None
    prompt = torch.zeros(1, 0, dtype=torch.long, device=device)
    if rules.prompt_tokens > 0:
        opening = listened[: rules.prompt_tokens * _LISTENING_HZ // _TOKEN_HZ]
        prompt = s3gen.tokenizer.tokenize(opening[None], max_tokens=rules.prompt_tokens)
        yield
    heard_by_s3gen = s3gen.embed_reference(wav[None].to(device), _REFERENCE_HZ, x_vector)
    return Conditioning(
        t3=T3Conditioning(speaker_embedding=speaker, prompt_tokens=prompt), s3gen=heard_by_s3gen
    ).to(torch.device("cpu"))


def speech_tokens(clip: Clip, s3gen: S3Gen) -> torch.Tensor:
    """What is said in a clip, and how, but not in whose voice: (1, about 25 a second)."""
    _check_samples(clip)
    wav = torch.from_numpy(resample.soxr(clip, _LISTENING_HZ).samples)
    return s3gen.tokenizer.tokenize(wav[None].to(next(s3gen.parameters()).device))


def convert_voice(clip: Clip, target: S3GenConditioning, s3gen: S3Gen, *, seed: int) -> Clip:
    """The same speech in the target's voice; one seed, one result.

    Time and memory grow with the square of the length: callers bound it.
    """
    tokens = speech_tokens(clip, s3gen)
    generator = torch.Generator(device=tokens.device).manual_seed(seed)
    noise = s3gen.draw_noise(tokens.shape[1], target, generator=generator)
    wav = s3gen.render(tokens, target, noise)
    return Clip(wav[0].cpu().numpy(), s3gen.sample_rate_hz)


def loudness_gain(clip: Clip) -> float:
    """The factor that brings a clip to -27 LUFS (BS.1770-4); 1 where it cannot be measured."""
    if clip.duration_s < _LOUDNESS_BLOCK_S:
        return 1.0
    with warnings.catch_warnings():  # silence is measured as minus infinity, loudly
        warnings.simplefilter("ignore", RuntimeWarning)
        loudness = pyloudnorm.Meter(clip.sample_rate_hz).integrated_loudness(clip.samples)
    gain = 10.0 ** ((_TARGET_LUFS - loudness) / 20.0)
    return float(gain) if math.isfinite(gain) and gain > 0.0 else 1.0


def _scaled(clip: Clip, gain: float) -> Clip:
    return Clip(clip.samples * np.float32(gain), clip.sample_rate_hz)


def _check_samples(clip: Clip) -> None:
    if not np.isfinite(clip.samples).all():
        raise InvalidRequest("the clip holds samples that are not numbers", field="audio")
    if clip.duration_s < 0.1:
        raise InvalidRequest("the clip is shorter than 0.1 s", field="audio", reason="TOO_SHORT")


def _check_reference(clip: Clip, rules: ReferenceRules) -> None:
    _check_samples(clip)
    if clip.duration_s <= rules.longer_than_s:
        raise InvalidRequest(
            f"a reference must be longer than {rules.longer_than_s:g} s, "
            f"this one is {clip.duration_s:.2f} s",
            field="audio",
            reason="TOO_SHORT",
        )
