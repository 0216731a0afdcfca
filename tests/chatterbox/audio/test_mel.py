"""The mel front ends: frame counts, and a tone found in the right place."""

import pytest
import torch
from torch import Tensor

from chatterbox.audio import mel


def tone(hz: float, sample_rate_hz: int, samples: int) -> Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(samples) / sample_rate_hz)[None]


def tokenizer_mel(wav: Tensor) -> Tensor:
    filters = mel.slaney_filterbank(16000, 400, 128, 0.0, 8000.0)
    return mel.tokenizer_log_mel(wav[0], filters, torch.hann_window(400))


@pytest.mark.parametrize("samples", [16000, 16159, 8001])
def test_frames_are_counted_as_each_model_counts_them(samples: int) -> None:
    wav = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))

    assert mel.voice_encoder_mel(wav).shape == (1, 1 + samples // 160, 40)
    assert tokenizer_mel(wav).shape == (128, samples // 160)
    assert mel.s3gen_log_mel(wav).shape == (1, 80, samples // 480)
    assert mel.x_vector_features(wav).shape == (1, 1 + (samples - 400) // 160, 80)


@pytest.mark.parametrize("hz", [300.0, 1000.0, 3500.0])
def test_a_tone_lies_in_the_filter_around_it(hz: float) -> None:
    for filters, rate, frames in (
        (40, 16000, mel.voice_encoder_mel(tone(hz, 16000, 16000))[0].T),
        (128, 16000, tokenizer_mel(tone(hz, 16000, 16000))),
        (80, 24000, mel.s3gen_log_mel(tone(hz, 24000, 24000))[0]),
    ):
        n_fft = 1920 if rate == 24000 else 400
        bank = mel.slaney_filterbank(rate, n_fft, filters, 0.0, 8000.0)
        loudest, place = bank[frames.mean(1).argmax()], round(hz * n_fft / rate)
        assert loudest[place - 1 : place + 2].max() > 0.0


def test_the_tokenizer_floors_80_db_below_the_loudest() -> None:
    log_mel = tokenizer_mel(tone(1000.0, 16000, 16000))

    assert float(log_mel.max() - log_mel.min()) <= 2.0 + 1e-6  # 8 in log10, over 4


def test_filters_have_unit_area() -> None:
    bank = mel.slaney_filterbank(24000, 1920, 80, 0.0, 8000.0)
    area = bank.sum(1) * (24000 / 1920)

    torch.testing.assert_close(area[40:], torch.ones(40), atol=0.02, rtol=0.0)
