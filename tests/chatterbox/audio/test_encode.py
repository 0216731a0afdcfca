"""Incremental encoders, judged by decoders that are not theirs where there is one."""

import io
from itertools import product

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import SAMPLE_RATES_HZ, AudioEncoder, Encoding
from chatterbox.errors import InvalidRequest

RATE_HZ = 24_000
PITCH_HZ = 440.0
# A decoder gives back whole frames, and the two oldest codecs do not say how many samples of the
# first and the last are padding.
PADDING = {Encoding.MP3: 3 * 1152, Encoding.AAC: 3 * 1024}
LAWS = (Encoding.MULAW, Encoding.ALAW)


def tone(seconds: float = 1.3, rate_hz: int = RATE_HZ) -> Clip:
    moments = np.arange(round(seconds * rate_hz))
    wave = 0.4 * np.sin(2 * np.pi * PITCH_HZ * moments / rate_hz)
    return Clip(wave.astype(np.float32), rate_hz)


def encoded(clip: Clip, encoding: Encoding, cuts: list[int] | None = None, **how: object) -> bytes:
    encoder = AudioEncoder(encoding, from_hz=clip.sample_rate_hz, **how)  # type: ignore[arg-type]
    pieces = np.split(clip.samples, sorted(cuts or []))
    written = b"".join(encoder.encode(Clip(piece, clip.sample_rate_hz)) for piece in pieces)
    return written + encoder.finish()


def decoded(data: bytes, encoding: Encoding, rate_hz: int) -> Clip:
    """By libsndfile, save for AAC, which only libav knows."""
    if encoding is Encoding.AAC:
        with av.open(io.BytesIO(data)) as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
            return Clip(np.concatenate(frames), container.streams.audio[0].rate)
    raw = {Encoding.PCM: "PCM_16", Encoding.MULAW: "ULAW", Encoding.ALAW: "ALAW"}.get(encoding)
    how = (
        {}
        if raw is None
        else {"format": "RAW", "subtype": raw, "channels": 1, "samplerate": rate_hz}
    )
    if encoding is Encoding.FLAC:
        data = with_length(data)
    samples, found_hz = soundfile.read(io.BytesIO(data), dtype="float32", **how)
    return Clip(samples, found_hz)


def with_length(flac: bytes) -> bytes:
    """The stream with its sample count in the header; libsndfile will not read on without."""
    with av.open(io.BytesIO(flac)) as container:
        count = sum(frame.samples for frame in container.decode(audio=0))
    before, facts, after = flac[:18], int.from_bytes(flac[18:26]), flac[26:]
    assert facts % 2**36 == 0, "a stream that is being made has no length"
    return before + (facts + count).to_bytes(8) + after


def pitch_hz(clip: Clip) -> float:
    """Of the loudest partial, over the middle half."""
    middle = clip.samples[len(clip) // 4 : 3 * len(clip) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 16 * len(middle)))
    return float(np.argmax(spectrum)) * clip.sample_rate_hz / (16 * len(middle))


@pytest.mark.parametrize("encoding", Encoding)
def test_a_decoder_hears_what_was_said(encoding: Encoding) -> None:
    clip = tone()
    back = decoded(encoded(clip, encoding), encoding, RATE_HZ)
    assert back.sample_rate_hz == RATE_HZ
    assert 0 <= len(back) - len(clip) <= PADDING.get(encoding, 0)
    assert pitch_hz(back) == pytest.approx(PITCH_HZ, abs=1)
    middle = back.samples[len(back) // 4 : 3 * len(back) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("encoding", [Encoding.PCM, Encoding.WAV, Encoding.FLAC])
def test_what_loses_nothing_gives_every_sample_back(encoding: Encoding) -> None:
    clip = tone()
    back = decoded(encoded(clip, encoding), encoding, RATE_HZ)
    np.testing.assert_allclose(back.samples, clip.samples, atol=1 / 32_000)


@pytest.mark.parametrize("encoding", Encoding)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=12), speed=st.sampled_from([1.0, 1.25]))
def test_the_bytes_do_not_depend_on_the_cuts(
    encoding: Encoding, cuts: list[int], speed: float
) -> None:
    clip = tone(20_000 / RATE_HZ)
    whole = encoded(clip, encoding, speed=speed, sample_rate_hz=16_000)
    assert encoded(clip, encoding, cuts, speed=speed, sample_rate_hz=16_000) == whole


OPUS_KNOWS_NOT = [(Encoding.OGG_OPUS, 22_050), (Encoding.OGG_OPUS, 44_100)]
SERVED = [pair for pair in product(Encoding, SAMPLE_RATES_HZ) if pair not in OPUS_KNOWS_NOT]


@pytest.mark.parametrize(("encoding", "rate_hz"), SERVED)
def test_every_rate_is_as_long_and_as_high(encoding: Encoding, rate_hz: int) -> None:
    clip = tone(0.7)
    back = decoded(encoded(clip, encoding, sample_rate_hz=rate_hz), encoding, rate_hz)
    assert pitch_hz(back) == pytest.approx(PITCH_HZ, abs=2)
    longer_s = PADDING.get(encoding, 1) / rate_hz
    assert len(back) / back.sample_rate_hz == pytest.approx(clip.duration_s, abs=longer_s)


@pytest.mark.parametrize(
    ("encoding", "rate_hz"), [*OPUS_KNOWS_NOT, (Encoding.PCM, 24_001), (Encoding.MP3, 96_000)]
)
def test_a_rate_that_is_not_served_is_named(encoding: Encoding, rate_hz: int) -> None:
    with pytest.raises(InvalidRequest, match=str(rate_hz)) as caught:
        AudioEncoder(encoding, from_hz=RATE_HZ, sample_rate_hz=rate_hz)
    assert caught.value.field == "audio_config.sample_rate_hertz"


@pytest.mark.parametrize("speed", [0.25, 0.4, 0.8, 1.0, 1.25, 2.0, 4.0])
def test_speed_changes_the_length_and_not_the_pitch(speed: float) -> None:
    clip = tone(2.0)
    back = decoded(encoded(clip, Encoding.PCM, speed=speed), Encoding.PCM, RATE_HZ)
    assert len(back) == pytest.approx(len(clip) / speed, abs=1)
    assert pitch_hz(back) == pytest.approx(PITCH_HZ, rel=0.01)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
def test_nothing_piles_up_inside(encoding: Encoding, speed: float) -> None:
    encoder = AudioEncoder(encoding, from_hz=RATE_HZ, sample_rate_hz=48_000, speed=speed)
    piece = tone(0.5)
    written = [len(encoder.encode(piece)) for _ in range(40)]
    rest = len(encoder.finish())
    per_second = sum(written[20:]) / 10  # of what goes in
    assert rest <= 0.5 * per_second * max(speed, 1.0), rest / per_second
    assert min(written[2:]) > 0


@pytest.mark.parametrize("encoding", Encoding)
def test_silence_of_no_length_is_still_a_file(encoding: Encoding) -> None:
    assert isinstance(encoded(tone(0.0), encoding), bytes)
