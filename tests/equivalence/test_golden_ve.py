"""The VoiceEncoder hears what the reference hears."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chatterbox.audio.mel import voice_encoder_mel
from chatterbox.models.checkpoint import VOICE_ENCODER_NAMES, load_strict, without_storage
from chatterbox.models.voice_encoder.features import speech_bounds, window_count
from chatterbox.models.voice_encoder.model import VoiceEncoder


@pytest.fixture(scope="module")
def encoder(golden: Any) -> Iterator[VoiceEncoder]:
    encoder = without_storage(VoiceEncoder).eval()
    load_strict(encoder, golden.state("ve"), names=VOICE_ENCODER_NAMES)
    with torch.inference_mode():
        yield encoder


@pytest.fixture(scope="module")
def clips(golden: Any) -> dict[str, Tensor]:
    """The set's clips by name, in the order of its index."""
    entries = golden.index["families"]["ve"]["tensors"]
    tensors = golden.family("ve")
    return {
        name.removesuffix(".wav_i16"): tensors[name].float() / 32768.0
        for name in entries
        if name.endswith(".wav_i16")
    }


def test_silence_is_trimmed_as_in_the_reference(
    encoder: VoiceEncoder, clips: dict[str, Tensor], golden: Any
) -> None:
    for name, clip in clips.items():
        bounds = speech_bounds(clip, encoder.config.trim_below_db)
        golden.check("ve", f"{name}.trim_index", torch.tensor(bounds))


def test_mel_frames_are_the_reference_s(clips: dict[str, Tensor], golden: Any) -> None:
    recorded = golden.family("ve")
    for name, clip in clips.items():
        if f"{name}.mel" in recorded:  # the longest is not recorded
            start, end = recorded[f"{name}.trim_index"].tolist()
            golden.check("ve", f"{name}.mel", voice_encoder_mel(clip[None, start:end])[0])


def test_windows_are_cut_and_embedded_as_in_the_reference(
    encoder: VoiceEncoder, clips: dict[str, Tensor], golden: Any
) -> None:
    config = encoder.config
    for name, clip in clips.items():
        start, end = speech_bounds(clip, config.trim_below_db)
        frames = 1 + (end - start) // 160
        count = window_count(
            frames,
            window=config.window_frames,
            step=config.step_frames,
            min_coverage=config.min_coverage,
        )
        covered = config.window_frames + config.step_frames * (count - 1)
        meta = torch.tensor([config.step_frames, count, covered, frames])
        golden.check("ve", f"{name}.partials_meta", meta)
        golden.check("ve", f"{name}.partial_embeds", encoder(encoder.cut(clip)))


def test_clips_and_speakers_are_embedded_as_in_the_reference(
    encoder: VoiceEncoder, clips: dict[str, Tensor], golden: Any
) -> None:
    for name, clip in clips.items():
        golden.check("ve", f"{name}.embed", encoder.embed(clip)[None])
    every = torch.stack([encoder.embed(clip) for clip in clips.values()])
    golden.check("ve", "batch.embeds", every)
    golden.check("ve", "batch.spk_embed", encoder.embed_speaker(list(clips.values())))


def test_an_untrimmed_clip_in_half_overlapping_windows(
    encoder: VoiceEncoder, clips: dict[str, Tensor], golden: Any
) -> None:
    expected = golden.family("ve")["untrimmed.overlap_embed"]
    candidates = [encoder.embed(clip, trimmed=False, step_frames=80) for clip in clips.values()]
    nearest = max(candidates, key=lambda candidate: float(candidate @ expected[0]))

    golden.check("ve", "untrimmed.overlap_embed", nearest[None])
