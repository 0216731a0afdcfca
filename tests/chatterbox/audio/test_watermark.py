"""The mark: as the reference makes it, heard by the detector and by nobody else."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import Encoding
from chatterbox.audio.output import OutputChain, OutputFormat
from chatterbox.audio.watermark import HEAD_S, Watermark
from chatterbox.audio.watermark_detector import THRESHOLD, WatermarkDetector

RATE_HZ = 24_000
GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def watermark() -> Watermark:
    return Watermark.load()


@pytest.fixture(scope="module")
def detector() -> WatermarkDetector:
    return WatermarkDetector()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """What resemble-perth 1.0.1 made of a recording, and how sure it is of either."""
    stored = load_file(GOLDEN / "perth.safetensors")
    return {
        name.removesuffix("_i16"): array.astype(np.float32) / (32_768 if "_i16" in name else 1)
        for name, array in stored.items()
    }


@pytest.fixture(scope="module")
def voice(golden: dict[str, np.ndarray]) -> np.ndarray:
    return golden["wav24"]


def marked(samples: np.ndarray, watermark: Watermark, step: int = 0) -> np.ndarray:
    stage = watermark.stage(RATE_HZ)
    cuts = range(step, len(samples), step) if step else []
    pieces = [stage.push(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*pieces, stage.finish()])


def test_the_mark_is_that_of_the_reference(
    watermark: Watermark, golden: dict[str, np.ndarray], voice: np.ndarray
) -> None:
    """Behind the head. The reference goes to 32 kHz and back, of which its difference is freed."""
    stage = watermark.stage(RATE_HZ, within=True)
    ours = np.concatenate([stage.push(voice), stage.finish()]) - voice
    theirs = golden["marked"] - golden["resampled"]
    inner = slice(2_000, min(len(ours), len(theirs)) - 2_000)
    ours, theirs = ours[inner], theirs[inner]
    alike = np.dot(ours, theirs) / np.sqrt(np.dot(ours, ours) * np.dot(theirs, theirs))
    assert alike > 0.99
    assert np.dot(ours, ours) == pytest.approx(np.dot(theirs, theirs), rel=0.05)


def test_the_detector_is_as_sure_as_the_reference(
    detector: WatermarkDetector, golden: dict[str, np.ndarray], voice: np.ndarray
) -> None:
    assert detector.score([Clip(voice, RATE_HZ)]) == pytest.approx(
        float(golden["score_unmarked"][0]), abs=0.05
    )
    assert detector.score([Clip(golden["marked"], RATE_HZ)]) == pytest.approx(
        float(golden["score_marked"][0]), abs=0.05
    )


@pytest.mark.parametrize("step", [0, 960, 8_640, 12_345])
def test_streamed_or_whole_the_mark_is_found(
    watermark: Watermark, detector: WatermarkDetector, voice: np.ndarray, step: int
) -> None:
    made = marked(voice, watermark, step)
    assert len(made) == len(voice)
    np.testing.assert_allclose(made, marked(voice, watermark), atol=1e-7)
    assert detector.score([Clip(made, RATE_HZ)]) > 0.9


def test_the_difference_lies_below_two_kilohertz(watermark: Watermark, voice: np.ndarray) -> None:
    spectrum = np.abs(np.fft.rfft(marked(voice, watermark) - voice)) ** 2
    above = round(2_100 * len(voice) / RATE_HZ)
    assert 0 < spectrum[above:].sum() < 1e-3 * spectrum.sum()


def test_the_first_clip_of_an_utterance_leaves_at_once(
    watermark: Watermark, voice: np.ndarray
) -> None:
    head = round(HEAD_S * RATE_HZ)
    assert len(watermark.stage(RATE_HZ).push(voice[:head])) == head


def test_where_the_head_ends_nothing_clicks(watermark: Watermark, voice: np.ndarray) -> None:
    difference = marked(voice, watermark) - voice
    head = round(HEAD_S * RATE_HZ)
    steps = np.abs(np.diff(difference))
    assert steps[head - 300 : head + 300].max() <= steps[2_000 : head - 300].max()


@pytest.mark.parametrize("seconds", [0.4, 0.6, 1.0])
def test_short_speech_is_found_too(
    watermark: Watermark, detector: WatermarkDetector, voice: np.ndarray, seconds: float
) -> None:
    said = voice[: round(seconds * RATE_HZ)]
    assert detector.score([Clip(marked(said, watermark), RATE_HZ)]) > 0.8
    assert detector.score([Clip(said, RATE_HZ)]) < 0.2


def test_silence_stays_silent(watermark: Watermark) -> None:
    assert not marked(np.zeros(RATE_HZ, np.float32), watermark).any()


def test_nothing_marks_nothing(watermark: Watermark, detector: WatermarkDetector) -> None:
    assert len(marked(np.zeros(0, np.float32), watermark)) == 0
    for length in (0, 10, 2_000, RATE_HZ):
        assert detector.score([Clip(np.zeros(length, np.float32), RATE_HZ)]) == 0.0
    assert detector.score([]) == 0.0


def test_what_a_stream_holds_back_is_bounded(watermark: Watermark, voice: np.ndarray) -> None:
    stage = watermark.stage(RATE_HZ)
    given = 0
    for place, piece in enumerate(np.split(voice, range(960, len(voice), 960)), start=1):
        given += len(stage.push(piece))
        assert given >= min(960 * place, len(voice)) - 5_376  # 0.224 s


FORMS = [
    OutputFormat(sample_rate_hz=8_000, encoding=Encoding.MULAW),
    OutputFormat(sample_rate_hz=48_000),
    OutputFormat(volume_gain_db=-20.0),
    OutputFormat(volume_gain_db=12.0),
    OutputFormat(speaking_rate=0.5),
    OutputFormat(speaking_rate=2.0),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_no_form_takes_the_mark_away(
    watermark: Watermark, detector: WatermarkDetector, voice: np.ndarray, form: OutputFormat
) -> None:
    def sent(marker: Watermark | None) -> Clip:
        chain = OutputChain(form, from_hz=RATE_HZ, marker=marker)
        data = chain.push(Clip(voice, RATE_HZ)) + chain.finish()
        if form.encoding is Encoding.MULAW:
            return Clip(decoded_mulaw(data), chain.sample_rate_hz)
        return Clip(np.frombuffer(data, "<i2").astype(np.float32) / 32_768, chain.sample_rate_hz)

    assert detector.score([sent(watermark)]) >= THRESHOLD
    assert detector.score([sent(None)]) < THRESHOLD


def decoded_mulaw(data: bytes) -> np.ndarray:
    """G.711 by its definition."""
    code = ~np.frombuffer(data, np.uint8)
    size = (((code & 0x0F).astype(np.int32) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return (np.where(code & 0x80, -size, size) / 32_768).astype(np.float32)
