"""Recordings are judged, and whoever sends a bad one is told what to record instead."""

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import Decoder
from chatterbox.audio.files import wav_bytes
from chatterbox.errors import InvalidRequest
from chatterbox.voices.quality import measure
from chatterbox.voices.recording import assess, hear
from chatterbox.voices.tensors import read_reference

RATE = 24_000


def noise(seconds: float, level: float) -> np.ndarray:
    samples = np.random.default_rng(5).standard_normal(int(seconds * RATE))
    return (level * samples).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)


def test_clean_speech_is_measured_and_kept_as_it_is(speech: Clip) -> None:
    recording = assess(speech)
    quality = recording.reference.quality

    assert quality.duration_s == pytest.approx(speech.duration_s)
    assert quality.speech_ratio > 0.8
    assert quality.signal_to_noise_db > 30
    assert quality.clipping_ratio < 0.0005
    assert -40 < quality.loudness_lufs < -10
    assert recording.clip.sample_rate_hz == RATE
    np.testing.assert_array_equal(read_reference(recording.content).samples, recording.clip.samples)


def test_one_recording_has_one_fingerprint(speech: Clip) -> None:
    same = assess(Clip(speech.samples.copy(), speech.sample_rate_hz))
    other = assess(Clip(speech.samples * np.float32(0.9), speech.sample_rate_hz))
    fingerprint = assess(speech).reference.fingerprint
    assert same.reference.fingerprint == fingerprint
    assert other.reference.fingerprint != fingerprint


def _bad(speech: Clip) -> dict[str, tuple[np.ndarray, str, str]]:
    voice = speech.samples
    return {
        "too short": (voice[: 2 * RATE], "TOO_SHORT", "3 to 30 seconds"),
        "too long": (np.tile(voice, 5), "TOO_LONG", "3 to 30 seconds"),
        "nothing": (silence(5.0), "TOO_QUIET", "microphone"),
        "hardly anything": (voice * np.float32(0.0005), "TOO_QUIET", "raise its level"),
        "noise alone": (noise(5.0, 0.1), "TOO_LITTLE_SPEECH", "one person who speaks"),
        "a tone": (
            (0.1 * np.sin(np.arange(5 * RATE) / 9)).astype(np.float32),
            "TOO_LITTLE_SPEECH",
            "no music",
        ),
        "mostly pauses": (
            np.concatenate([voice[: 3 * RATE], silence(12.0)]),
            "TOO_LITTLE_SPEECH",
            "long pauses",
        ),
        "distorted": (np.clip(voice * 20, -1, 1), "CLIPPED", "lower the input level"),
        "in a storm": (
            voice + noise(speech.duration_s, float(np.std(voice)))[: len(voice)],
            "TOO_NOISY",
            "quiet room",
        ),
        "no numbers": (
            np.where(np.arange(len(voice)) == 99, np.nan, voice),
            "AUDIO_UNREADABLE",
            "",
        ),
    }


CASES = (
    "too short",
    "too long",
    "nothing",
    "hardly anything",
    "noise alone",
    "a tone",
    "mostly pauses",
    "distorted",
    "in a storm",
    "no numbers",
)


@pytest.mark.parametrize("case", CASES)
def test_a_bad_recording_is_refused_with_what_to_do(speech: Clip, case: str) -> None:
    samples, reason, advice = _bad(speech)[case]
    with pytest.raises(InvalidRequest) as refusal:
        assess(Clip(samples.astype(np.float32), RATE), field="audio")
    assert refusal.value.reason == reason
    assert advice in refusal.value.message
    assert refusal.value.field == "audio"


def test_a_recording_that_could_be_better_comes_with_advice(speech: Clip) -> None:
    short = assess(Clip(speech.samples[: 4 * RATE], RATE)).reference.quality
    assert any("ten seconds" in each for each in short.advice)
    hum = noise(speech.duration_s, 0.2 * float(np.std(speech.samples)))[: len(speech)]
    noisy = assess(Clip(speech.samples + hum, RATE)).reference.quality
    assert any("quiet room" in each for each in noisy.advice)


def test_louder_than_full_scale_is_no_distortion(speech: Clip) -> None:
    loud = assess(Clip(speech.samples * np.float32(50.0), RATE))
    assert loud.reference.quality.clipping_ratio < 0.0005
    assert np.abs(loud.clip.samples).max() <= 1.01


def test_the_noise_floor_is_that_of_the_pauses(speech: Clip) -> None:
    pause = Clip(np.concatenate([silence(1.0), speech.samples, silence(1.0)]), RATE)
    hiss = noise(pause.duration_s, 0.001)[: len(pause)]
    quality = measure(Clip(pause.samples + hiss, RATE))
    assert quality.noise_floor_dbfs == pytest.approx(-60, abs=2)


async def test_what_is_no_file_is_refused() -> None:
    for data, reason in ((b"", "REQUIRED"), (b"text", "AUDIO_UNREADABLE")):
        with pytest.raises(InvalidRequest) as refusal:
            await hear(data, Decoder(), field="reference_audio")
        assert (refusal.value.reason, refusal.value.field) == (reason, "reference_audio")


async def test_an_hour_is_refused_before_all_of_it_is_read(speech: Clip) -> None:
    minute = Clip(np.tile(speech.samples, 8), RATE)
    with pytest.raises(InvalidRequest) as refusal:
        await hear(wav_bytes(minute), Decoder())
    assert refusal.value.reason == "TOO_LONG"
