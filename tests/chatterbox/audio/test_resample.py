"""Both resamplers keep what both rates can hold, and the length."""

import numpy as np
import pytest
import torch

from chatterbox.audio import resample
from chatterbox.audio.clip import Clip

RATES = [(24000, 16000), (16000, 24000), (44100, 24000), (8000, 24000), (48000, 16000)]


def tone(hz: float, sample_rate_hz: int, samples: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(samples) / sample_rate_hz).astype(np.float32)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("samples", [4410, 4801, 7999])
def test_a_tone_stays_the_tone_it_was(from_hz: int, to_hz: int, samples: int) -> None:
    wav = tone(440.0, from_hz, samples)
    length = -(-samples * to_hz // from_hz)
    expected = tone(440.0, to_hz, length)
    by_sinc = resample.sinc(torch.from_numpy(wav)[None], from_hz, to_hz)[0].numpy()
    by_soxr = resample.soxr(Clip(wav, from_hz), to_hz)

    assert by_sinc.shape == by_soxr.samples.shape == (length,)
    assert by_soxr.sample_rate_hz == to_hz
    inner = slice(400, length - 400)  # the ends have nothing beyond them to go by
    np.testing.assert_allclose(by_sinc[inner], expected[inner], atol=1e-2)
    np.testing.assert_allclose(by_soxr.samples[inner], expected[inner], atol=1e-3)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    wav = tone(10_000.0, 24000, 24000)
    by_sinc = resample.sinc(torch.from_numpy(wav)[None], 24000, 16000)[0].numpy()
    by_soxr = resample.soxr(Clip(wav, 24000), 16000).samples

    assert np.abs(by_sinc[400:-400]).max() < 0.02
    assert np.abs(by_soxr[400:-400]).max() < 1e-3


def test_the_same_rate_is_the_same_clip() -> None:
    clip = Clip(tone(440.0, 24000, 1000), 24000)

    assert resample.soxr(clip, 24000) is clip
    assert torch.equal(
        resample.sinc(torch.from_numpy(clip.samples)[None], 16000, 16000)[0],
        torch.from_numpy(clip.samples),
    )
