"""The shape of the VoiceEncoder; every family, the bundled one too, uses the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceEncoderConfig:
    """Windows of mel frames in, one unit vector out. Frames are 10 ms."""

    sample_rate_hz: int = 16000
    mel_bins: int = 40
    hidden_dim: int = 256
    layers: int = 3
    embedding_dim: int = 256
    window_frames: int = 160
    step_frames: int = 77  # between the starts of windows: 1.3 windows a second
    min_coverage: float = 0.8  # a last window emptier than this is left out
    trim_below_db: float = 20.0  # silence at the ends, counted from the loudest frame
