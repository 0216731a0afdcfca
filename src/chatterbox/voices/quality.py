"""Quality: how good a recording is as a reference, and what to record instead if it is not."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.audio.speech_activity import FRAME_S, speech_probabilities
from chatterbox.errors import InvalidRequest

MIN_S, MAX_S = 3.0, 30.0
MIN_SPEECH_S, MIN_SPEECH_RATIO = 2.0, 0.4
MIN_LOUDNESS_LUFS = -50.0
MAX_CLIPPING_RATIO = 0.01
MIN_SIGNAL_TO_NOISE_DB = 8.0

GOOD_S = 8.0
GOOD_SPEECH_RATIO = 0.6
GOOD_CLIPPING_RATIO = 0.001
GOOD_SIGNAL_TO_NOISE_DB = 20.0

SILENCE_LUFS, SILENCE_DBFS = -70.0, -120.0
_SPEECH_PROBABILITY = 0.5
_NEAR_SPEECH_FRAMES = 3  # about 0.1 s, in which speech fades away
_FEW_FRAMES = 10
_CLIPPED_SAMPLES = 3  # in a row that touch the largest value
_CLIPPED_LEVEL = 0.998
_LEAST_CLIPPED_PEAK = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a recording is. Levels are in dB of full scale."""

    duration_s: float
    speech_s: float
    loudness_lufs: float  # ITU-R BS.1770, at least -70
    peak_dbfs: float
    noise_floor_dbfs: float  # of what is heard where nobody speaks
    signal_to_noise_db: float
    clipping_ratio: float  # of the samples

    @property
    def speech_ratio(self) -> float:
        return self.speech_s / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def advice(self) -> tuple[str, ...]:
        """What would make a better recording, in sentences."""
        told = []
        if self.duration_s < GOOD_S:
            told.append("About ten seconds of speech give a closer likeness.")
        if self.speech_ratio < GOOD_SPEECH_RATIO:
            told.append("There are long pauses: cut them out, or speak on.")
        if self.clipping_ratio > GOOD_CLIPPING_RATIO:
            told.append("It is distorted in places: lower the input level.")
        if self.signal_to_noise_db < GOOD_SIGNAL_TO_NOISE_DB:
            told.append("There is noise or reverberation: record in a quiet room, near the mouth.")
        return tuple(told)


def measure(clip: Clip) -> Quality:
    """The quality of a clip as it was recorded, before any change of its rate."""
    levels_dbfs, is_speech = _frames(clip)
    speech = levels_dbfs[is_speech]
    floor_dbfs = _noise_floor_dbfs(levels_dbfs, is_speech)
    speech_dbfs = _mean_dbfs(speech) if len(speech) else SILENCE_DBFS
    peak = float(np.abs(clip.samples).max(initial=0.0))
    return Quality(
        duration_s=clip.duration_s,
        speech_s=min(clip.duration_s, len(speech) * FRAME_S),
        loudness_lufs=_loudness_lufs(clip),
        peak_dbfs=_dbfs(peak),
        noise_floor_dbfs=floor_dbfs,
        signal_to_noise_db=max(0.0, speech_dbfs - floor_dbfs),
        clipping_ratio=_clipping_ratio(clip.samples, peak),
    )


def check_duration(duration_s: float, *, field: str) -> None:
    """Raise InvalidRequest for a recording that is too short or too long."""
    wanted = f"record {MIN_S:g} to {MAX_S:g} seconds of one person speaking"
    if duration_s < MIN_S:
        message = f"the recording is {duration_s:.2f} s long; {wanted}, about ten are best"
        raise InvalidRequest(message, field=field, reason="TOO_SHORT")
    if duration_s > MAX_S:
        message = f"the recording is longer than {MAX_S:g} s; {wanted}, or cut it"
        raise InvalidRequest(message, field=field, reason="TOO_LONG")


def check(quality: Quality, *, field: str) -> None:
    """Raise InvalidRequest, with what to record instead, where no good voice would come of it."""
    check_duration(quality.duration_s, field=field)
    if quality.loudness_lufs < MIN_LOUDNESS_LUFS:
        reason, problem = (
            "TOO_QUIET",
            f"the recording is almost silent ({quality.loudness_lufs:.0f} LUFS); choose the right "
            "microphone, raise its level, or speak nearer to it",
        )
    elif quality.speech_s < MIN_SPEECH_S or quality.speech_ratio < MIN_SPEECH_RATIO:
        reason, problem = (
            "TOO_LITTLE_SPEECH",
            f"somebody speaks for {quality.speech_s:.1f} of {quality.duration_s:.1f} s only; record "
            "one person who speaks without long pauses, no music and no singing",
        )
    elif quality.clipping_ratio > MAX_CLIPPING_RATIO:
        reason, problem = (
            "CLIPPED",
            f"the recording is distorted: {quality.clipping_ratio:.1%} of it is cut off at the "
            "largest value; lower the input level or step back, and record again",
        )
    elif quality.signal_to_noise_db < MIN_SIGNAL_TO_NOISE_DB:
        reason, problem = (
            "TOO_NOISY",
            f"the speech is only {quality.signal_to_noise_db:.0f} dB louder than the noise; record "
            "in a quiet room without echo, with the microphone near the mouth",
        )
    else:
        return
    raise InvalidRequest(problem, field=field, reason=reason)


def _frames(clip: Clip) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The level of each frame in dB of full scale, and whether somebody speaks in it."""
    is_speech = speech_probabilities(clip) >= _SPEECH_PROBABILITY
    length = int(FRAME_S * clip.sample_rate_hz)
    count = min(len(is_speech), len(clip) // length)
    frames = clip.samples[: count * length].reshape(count, length).astype(np.float64)
    powers = np.square(frames).mean(axis=1)
    return 10.0 * np.log10(np.maximum(powers, 10.0 ** (SILENCE_DBFS / 10.0))), is_speech[:count]


def _noise_floor_dbfs(levels_dbfs: NDArray[np.float64], is_speech: NDArray[np.bool_]) -> float:
    if len(levels_dbfs) == 0:
        return SILENCE_DBFS
    near = np.convolve(is_speech, np.ones(2 * _NEAR_SPEECH_FRAMES + 1), mode="same") > 0
    pauses = levels_dbfs[~near]
    if len(pauses) < _FEW_FRAMES:  # spoken without a pause: its quietest moments
        return float(np.percentile(levels_dbfs, 5))
    return float(np.median(pauses))


def _mean_dbfs(levels_dbfs: NDArray[np.float64]) -> float:
    return float(10.0 * np.log10(np.mean(10.0 ** (levels_dbfs / 10.0))))


def _dbfs(amplitude: float) -> float:
    return max(SILENCE_DBFS, 20.0 * math.log10(amplitude)) if amplitude > 0 else SILENCE_DBFS


def _loudness_lufs(clip: Clip) -> float:
    import pyloudnorm  # not at the top: whoever lists voices should not wait for scipy

    meter = pyloudnorm.Meter(clip.sample_rate_hz)
    if clip.duration_s < meter.block_size:
        return SILENCE_LUFS
    with warnings.catch_warnings():  # silence is measured as minus infinity, loudly
        warnings.simplefilter("ignore", RuntimeWarning)
        loudness = float(meter.integrated_loudness(clip.samples))
    return max(SILENCE_LUFS, loudness) if math.isfinite(loudness) else SILENCE_LUFS


def _clipping_ratio(samples: NDArray[np.float32], peak: float) -> float:
    """How much lies in runs of samples that touch the largest value, as only clipping makes them."""
    if peak < _LEAST_CLIPPED_PEAK:
        return 0.0
    touches = np.abs(samples) >= _CLIPPED_LEVEL * peak
    changes = np.flatnonzero(np.diff(np.concatenate([[False], touches, [False]])))
    lengths = changes[1::2] - changes[::2]
    return float(lengths[lengths >= _CLIPPED_SAMPLES].sum() / len(samples))
