"""Finding the watermark in a recording."""

from collections.abc import Iterable

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.perth import BANDS, Frames, Layer, LayerStream, Perth, Rows, load_perth
from chatterbox.audio.rates import soxr

THRESHOLD = 0.5

_RATE_HZ = 32_000  # the network listens at this rate
_STRETCH_S = 10.0  # judged at once, so that a long recording takes no more memory than a short one
_LEAST_S = 0.1
_AUDIBLE = 0.05  # of the loudest frame: softer ones have nothing to tell
_SPEEDS = (1.25, 1.0, 0.75)  # what the three halves that listen expect to have been done to it


class WatermarkDetector:
    """Hears the mark; keeps nothing between recordings."""

    def __init__(self, perth: Perth | None = None) -> None:
        """Raises ConfigError where the package with the weights is missing."""
        self._perth = perth or load_perth()
        self._frames = Frames.at(_RATE_HZ)

    def score(self, clips: Iterable[Clip]) -> float:
        """0 (surely none) to 1, over all that is not silent in the clips; 0 for silence.

        Each clip is judged for itself, in stretches of at most 10 s.
        """
        total, weight = 0.0, 0
        for stretch in _stretches(clips):
            samples = soxr(stretch, _RATE_HZ).samples.astype(np.float64)
            score, count = self._judge(samples)
            total, weight = total + score * count, weight + count
        return total / weight if weight else 0.0

    def _judge(self, samples: np.ndarray) -> tuple[float, int]:
        """The score of a stretch, and how many frames of it are not silent."""
        frames = self._frames
        padded = np.pad(samples, frames.reach)
        count = len(samples) // frames.hop + 1
        levels = frames.levels(frames.spectra(padded, count))
        loudness = levels.sum(axis=1)
        if loudness.max() <= 0:
            return 0.0, 0
        is_audible = loudness > _AUDIBLE * loudness.max()
        heard = [
            _heard(layers, levels[:, :BANDS], is_audible, speed)
            for layers, speed in zip(
                (self._perth.slow, self._perth.normal, self._perth.fast), _SPEEDS, strict=True
            )
        ]
        trust = np.exp([trusted for trusted, _ in heard])
        score = float(np.dot(trust / trust.sum(), [mark for _, mark in heard]))
        return min(1.0, max(0.0, score)), int(is_audible.sum())


def _stretches(clips: Iterable[Clip]) -> Iterable[Clip]:
    for clip in clips:
        rate = clip.sample_rate_hz
        for start in range(0, len(clip), round(_STRETCH_S * rate)):
            samples = clip.samples[start : start + round(_STRETCH_S * rate)]
            if len(samples) >= _LEAST_S * rate:
                yield Clip(samples, rate)


def _heard(
    layers: tuple[Layer, ...], levels: Rows, is_audible: np.ndarray, speed: float
) -> tuple[float, float]:
    """How much one half trusts itself, and what it hears, over the audible frames."""
    count = max(1, int(len(levels) * speed))
    places = np.linspace(0, len(levels) - 1, count)
    below = np.minimum(places.astype(int), max(0, len(levels) - 2))
    above = np.minimum(below + 1, len(levels) - 1)
    share = (places - below)[:, None]
    stretched = levels[below] * (1 - share) + levels[above] * share
    network = LayerStream(layers)
    rows = np.concatenate([network.push(stretched), network.finish()])
    nearest = np.minimum((np.arange(count) * len(levels)) // count, len(levels) - 1)
    mask = is_audible[nearest]
    trusted, mark = rows[mask].mean(axis=0) if mask.any() else (0.0, 0.0)
    return float(trusted), float(mark)
