"""Incremental encoders: bytes that do not depend on the cuts, and what they say of their clock."""

import io
from itertools import pairwise, product

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from chatterbox.audio.encode import SAMPLE_RATES_HZ, STATELESS, AudioEncoder, Encoding
from chatterbox.errors import InvalidRequest

RATE_HZ = 24_000


def tone(seconds: float = 1.3, rate_hz: int = RATE_HZ) -> np.ndarray:
    moments = np.arange(round(seconds * rate_hz))
    return (0.4 * np.sin(2 * np.pi * 440 * moments / rate_hz)).astype(np.float32)


def encoded(
    samples: np.ndarray,
    encoding: Encoding,
    cuts: list[int] | None = None,
    rate_hz: int = RATE_HZ,
) -> bytes:
    encoder = AudioEncoder(encoding, rate_hz)
    edges = [0, *sorted(cuts or []), len(samples)]
    written = b"".join(encoder.encode(samples[a:b]) for a, b in pairwise(edges))
    return written + encoder.finish()


@pytest.mark.parametrize("encoding", [Encoding.PCM, Encoding.WAV, Encoding.FLAC])
def test_what_loses_nothing_gives_every_sample_back(encoding: Encoding) -> None:
    samples = tone()
    data = encoded(samples, encoding)
    if encoding is Encoding.FLAC:
        with av.open(io.BytesIO(data)) as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        back = np.concatenate(frames) / 32_768
    else:
        raw = {"format": "RAW", "subtype": "PCM_16", "channels": 1, "samplerate": RATE_HZ}
        back, _ = soundfile.read(io.BytesIO(data), **raw if encoding is Encoding.PCM else {})
    np.testing.assert_allclose(back, samples, atol=1 / 32_000)


@pytest.mark.parametrize("encoding", Encoding)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=12))
def test_the_bytes_do_not_depend_on_the_cuts(encoding: Encoding, cuts: list[int]) -> None:
    samples = tone()[:20_000]
    assert encoded(samples, encoding, cuts) == encoded(samples, encoding)


OPUS_KNOWS_NOT = [(Encoding.OGG_OPUS, rate_hz) for rate_hz in (11_025, 22_050, 32_000, 44_100)]
SERVED = [pair for pair in product(Encoding, SAMPLE_RATES_HZ) if pair not in OPUS_KNOWS_NOT]


@pytest.mark.parametrize(("encoding", "rate_hz"), SERVED)
def test_every_rate_that_is_served_can_be_written(encoding: Encoding, rate_hz: int) -> None:
    assert encoded(tone(0.2, rate_hz), encoding, rate_hz=rate_hz)


@pytest.mark.parametrize(
    ("encoding", "rate_hz"), [*OPUS_KNOWS_NOT, (Encoding.PCM, 24_001), (Encoding.MP3, 96_000)]
)
def test_a_rate_that_is_not_served_is_named(encoding: Encoding, rate_hz: int) -> None:
    with pytest.raises(InvalidRequest, match=str(rate_hz)) as caught:
        AudioEncoder(encoding, rate_hz)
    assert caught.value.field == "audio_config.sample_rate_hertz"


@pytest.mark.parametrize("encoding", Encoding)
def test_nothing_piles_up_inside(encoding: Encoding) -> None:
    encoder = AudioEncoder(encoding, RATE_HZ)
    piece, given = tone(0.5), 0
    for _ in range(20):
        encoder.encode(piece)
        given += len(piece)
        assert given - encoder.latency_samples <= encoder.sent <= given
    encoder.finish()
    assert encoder.sent == given


@pytest.mark.parametrize(("encoding", "rate_hz"), SERVED)
def test_so_much_silence_pushes_every_sound_out(encoding: Encoding, rate_hz: int) -> None:
    """The bytes until then, alone, already hold the last beep."""
    encoder = AudioEncoder(encoding, rate_hz)
    beep = tone(0.1, rate_hz)
    samples = np.concatenate([np.zeros(rate_hz // 2, np.float32), beep])
    data = encoder.encode(samples)
    data += encoder.encode(np.zeros(encoder.latency_samples, np.float32))
    assert encoder.sent >= len(samples)
    if encoding in STATELESS:
        return
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [made for frame in container.decode(audio=0) for made in resampler.resample(frame)]
        made_hz = frames[0].sample_rate
    heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    loud = np.abs(heard) > 0.2
    # A crest of the beep is seldom as high as that in its first and last period.
    assert np.ptp(np.nonzero(loud)[0]) / made_hz > 0.09


@pytest.mark.parametrize("encoding", Encoding)
def test_silence_of_no_length_is_still_a_file(encoding: Encoding) -> None:
    assert isinstance(encoded(tone(0.0), encoding), bytes)


def test_a_wav_without_sound_has_its_header() -> None:
    assert len(encoded(tone(0.0), Encoding.WAV)) == 44


@pytest.mark.parametrize("encoding", sorted(STATELESS))
def test_another_encoder_goes_on_at_any_sample(encoding: Encoding) -> None:
    samples = tone()
    before = AudioEncoder(encoding, RATE_HZ).encode(samples[:7_001])
    second = AudioEncoder(encoding, RATE_HZ, begun_at=7_001)
    assert before + second.encode(samples[7_001:]) == encoded(samples, encoding)
    assert second.sent == len(samples)
