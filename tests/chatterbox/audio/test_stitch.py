"""Joins without clicks."""

import numpy as np
import pytest

from chatterbox.audio import stitch
from chatterbox.audio.clip import Clip


def tone(seconds: float, *, rate: int = 24_000, hz: float = 220.0) -> Clip:
    moments = np.arange(round(seconds * rate)) / rate
    return Clip((0.5 * np.cos(2 * np.pi * hz * moments)).astype(np.float32), rate)


def test_a_faded_clip_begins_and_ends_near_silence_and_is_untouched_between() -> None:
    clip = tone(0.1)
    faded = stitch.fade_out(stitch.fade_in(clip, seconds=0.01), seconds=0.01)
    assert abs(faded.samples[0]) < 1e-4
    assert abs(faded.samples[-1]) < 1e-4
    np.testing.assert_array_equal(faded.samples[240:-240], clip.samples[240:-240])


def test_fading_leaves_the_given_clip_alone() -> None:
    clip = tone(0.1)
    before = clip.samples.copy()
    stitch.fade_in(clip, seconds=0.01)
    np.testing.assert_array_equal(clip.samples, before)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_clip_shorter_than_its_fade_is_faded_over_its_length(length: int) -> None:
    clip = Clip(np.ones(length, np.float32), 24_000)
    assert len(stitch.fade_in(stitch.fade_out(clip, seconds=0.01), seconds=0.01)) == length


def test_joined_clips_keep_every_sample() -> None:
    joined = stitch.join(tone(0.1), stitch.silence(24_000, seconds=0.05), tone(0.2))
    assert len(joined) == 2400 + 1200 + 4800
