"""Watermark: an inaudible mark in speech, put there while it streams.

What comes out is the speech plus a small difference below 2 kHz, of the same length. A sample leaves
once the 0.21 s behind it are known. Each utterance is marked for itself, and its first 0.36 s too, as
if nothing followed: so the first sound of an utterance need not wait for the second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.perth import (
    BANDS,
    LOOK_AHEAD_FRAMES,
    Frames,
    LayerStream,
    Perth,
    Rows,
    gain_of,
    load_perth,
)

Samples = NDArray[np.float32]

HEAD_S = 0.36  # as long as an engine's first clip

_SILENCE = 0.05  # mean level of a frame that is nothing but zeros, or nearly


@dataclass(frozen=True, slots=True)
class Watermark:
    """The mark, ready to be put into any number of streams."""

    perth: Perth

    @classmethod
    def load(cls) -> "Watermark":
        """Raises ConfigError where the package with the weights is missing."""
        return cls(load_perth())

    def stage(self, sample_rate_hz: int, *, within: bool = False) -> "WatermarkStage":
        """What marks one utterance, or with `within` the part of it behind its head."""
        return WatermarkStage(self.perth, sample_rate_hz, within=within)


class WatermarkStage:
    """Marks one utterance, piece by piece; the result does not depend on the pieces."""

    def __init__(self, perth: Perth, sample_rate_hz: int, *, within: bool = False) -> None:
        frames = Frames.at(sample_rate_hz)
        self.hop = frames.hop
        self.reach = 2 * frames.reach + LOOK_AHEAD_FRAMES * frames.hop
        self.head = round(HEAD_S * sample_rate_hz / self.hop) * self.hop
        self._to_come = 0 if within else self.head  # of the head
        self._head = _Span(perth, frames, fades_out_at=self.head)
        self._rest = _Span(perth, frames, fades_in=True)

    def push(self, samples: Samples) -> Samples:
        """The next samples in, those that are ready out."""
        if self._to_come == 0:
            return self._rest.push(samples)
        head, rest = samples[: self._to_come], samples[self._to_come :]
        self._to_come -= len(head)
        ready = self._head.push(head)
        if self._to_come > 0:
            return ready
        return np.concatenate([ready, self._head.finish(), self._rest.push(rest)])

    def finish(self) -> Samples:
        """The rest. Nothing may be pushed afterwards."""
        return self._head.finish() if self._to_come > 0 else self._rest.finish()


class _Span:
    """Marks a stretch of speech for itself. At a seam the mark fades, as the next is another."""

    def __init__(
        self,
        perth: Perth,
        frames: Frames,
        *,
        fades_in: bool = False,
        fades_out_at: int | None = None,
    ) -> None:
        self._frames = frames
        self.hop = frames.hop
        self._fades_in, self._fades_out_at = fades_in, fades_out_at
        self._network = LayerStream(perth.encoder)
        self._unframed = np.zeros(frames.reach)  # samples of the next frame on
        self._unmarked = np.zeros(0, np.float32)  # samples not given yet
        self._spectra = np.zeros((0, BANDS), complex)  # of frames whose mark is not known yet
        self._is_heard = np.zeros(0, bool)  # of the same frames
        # The difference from the first sample not given; its first frame reaches further back.
        self._difference = np.zeros(frames.reach)
        self._given = 0
        self._framed = 0
        self._marked = 0
        self._weight = _weight(frames)

    def push(self, samples: Samples) -> Samples:
        self._unmarked = np.concatenate([self._unmarked, samples])
        self._unframed = np.concatenate([self._unframed, samples.astype(np.float64)])
        count = max(0, (len(self._unframed) - len(self._frames.window)) // self.hop + 1)
        self._mark(self._network.push(self._levels(count)))
        # The next frame to be marked begins to matter here.
        known = self._marked * self.hop - self._frames.reach
        return self._give(max(0, known - self._given))

    def finish(self) -> Samples:
        total = self._given + len(self._unmarked)
        count = total // self.hop + 1 - self._framed
        missing = (count - 1) * self.hop + len(self._frames.window) - len(self._unframed)
        self._unframed = np.concatenate([self._unframed, np.zeros(max(0, missing))])
        rows = self._network.push(self._levels(count))
        self._mark(np.concatenate([rows, self._network.finish()]))
        return self._give(len(self._unmarked))

    def _levels(self, count: int) -> Rows:
        """Of the next frames."""
        if count <= 0:
            return np.zeros((0, BANDS))
        spectra = self._frames.spectra(self._unframed, count)[:, :BANDS]
        levels = self._frames.levels(spectra)
        self._unframed = self._unframed[count * self.hop :]
        self._framed += count
        self._spectra = np.concatenate([self._spectra, spectra])
        self._is_heard = np.concatenate([self._is_heard, levels.mean(axis=1) > _SILENCE])
        return levels

    def _mark(self, residual: Rows) -> None:
        """Add what these rows of the network's output make of the oldest frames."""
        count, size = len(residual), len(self._frames.window)
        if count == 0:
            return
        spectra = self._spectra[:count] * (gain_of(residual) - 1)
        spectra[~self._is_heard[:count]] = 0
        waves = np.fft.irfft(spectra, size, axis=1) * self._frames.window
        begin = self._marked * self.hop - self._frames.reach - self._given
        needed = begin + (count - 1) * self.hop + size - len(self._difference)
        self._difference = np.concatenate([self._difference, np.zeros(max(0, needed))])
        for place, wave in enumerate(waves):
            start = begin + place * self.hop
            cut = max(0, -start)
            self._difference[start + cut : start + size] += wave[cut:]
        self._spectra, self._is_heard = self._spectra[count:], self._is_heard[count:]
        self._marked += count

    def _give(self, count: int) -> Samples:
        count = min(count, len(self._unmarked))
        places = self._given + np.arange(count)
        difference = self._difference[:count] / self._weight[places % self.hop]
        if self._fades_in:
            difference *= np.minimum(1.0, places / self.hop)
        if self._fades_out_at is not None:
            difference *= np.minimum(1.0, (self._fades_out_at - places) / self.hop)
        ready = (self._unmarked[:count] + difference).astype(np.float32)
        self._unmarked = self._unmarked[count:]
        self._difference = self._difference[count:]
        self._given += count
        return ready


def _weight(frames: Frames) -> NDArray[np.float64]:
    """(hop,) how much of all windows, squared, lies on a sample, by its place between two frames."""
    size = len(frames.window)
    square = np.zeros(-(-size // frames.hop) * frames.hop)
    square[:size] = frames.window**2
    return np.roll(square.reshape(-1, frames.hop).sum(axis=0), -(frames.reach % frames.hop))
