"""Tempo: speech faster or slower at the same pitch, while it is still being made."""

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

MIN_SPEED, MAX_SPEED = 0.25, 4.0
_SLOWEST_FILTER = 0.5  # of one atempo; slower is two of them
_FRAME_S = 0.02  # the filter gives nothing for a frame before the next one has come
_TAIL_S = 0.25  # of silence behind the end, or the filter keeps the last 70 ms to itself


class Tempo:
    """Changes the speed of one mono stream by FFmpeg's atempo (overlap-add of short windows).

    What comes out is n / speed samples to within one, however the n that go in are cut. It holds
    back about 0.1 s of sound and no more.
    """

    def __init__(self, speed: float, sample_rate_hz: int) -> None:
        assert MIN_SPEED <= speed <= MAX_SPEED, f"speed {speed} is checked at the door"
        self._speed = speed
        self._rate = sample_rate_hz
        self._graph, self._source, self._sink = _graph(speed, sample_rate_hz)
        self._taken = 0
        self._given = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next samples in; those that are ready out. Both float32 of shape (n,)."""
        self._send(samples)
        self._taken += len(samples)
        return self._ready()

    def finish(self) -> NDArray[np.float32]:
        """The rest. Nothing may be pushed afterwards."""
        self._send(np.zeros(round(_TAIL_S * self._rate * self._speed), np.float32))
        self._source.push(None)
        return self._ready()

    def _send(self, samples: NDArray[np.float32]) -> None:
        size = round(_FRAME_S * self._rate)
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            frame = av.AudioFrame.from_ndarray(piece[None], format="flt", layout="mono")
            frame.sample_rate = self._rate
            self._source.push(frame)

    def _ready(self) -> NDArray[np.float32]:
        pieces = [np.zeros(0, np.float32)]
        while True:
            try:
                frame = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            assert isinstance(frame, av.AudioFrame)
            pieces.append(frame.to_ndarray().reshape(-1).astype(np.float32, copy=False))
        samples = np.concatenate(pieces)[: round(self._taken / self._speed) - self._given]
        self._given += len(samples)
        return samples


def _graph(
    speed: float, sample_rate_hz: int
) -> tuple[Graph, av.filter.context.FilterContext, av.filter.context.FilterContext]:
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=sample_rate_hz,
        format="flt",
        layout="mono",
        time_base=Fraction(1, sample_rate_hz),
    )
    last = source
    factors = [speed] if speed >= _SLOWEST_FILTER else [_SLOWEST_FILTER, speed / _SLOWEST_FILTER]
    for factor in factors:
        step = graph.add("atempo", f"{factor:.6f}")
        last.link_to(step)
        last = step
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    return graph, source, sink
