"""Perth: the small network that marks speech and finds the mark again, in numpy.

Its weights are Resemble AI's (MIT), read from the package `resemble-perth`. The package itself is
never imported: it would bring librosa, torchaudio and an old setuptools, and it knows only whole
signals. In numpy and float64, so that a stream gives the same bytes however it is cut, and so that
the threads of torch stay the device's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from chatterbox.errors import ConfigError

Rows = NDArray[np.float64]  # (frames, channels)

FRAME_S = 0.01  # from one frame to the next
WINDOW_S = 0.064
BANDS = 128  # of 15.6 Hz: the mark lies below 2 kHz
LOOK_AHEAD_FRAMES = 15  # beyond a frame that decide its mark, and as many before it

_PACKAGE = "perth"
_WEIGHTS = "perth_net/pretrained/implicit/perth_net_250000.pth.tar"
_REFERENCE_WINDOW = 2048  # at 32 kHz, where the network was trained
_FLOOR_DB, _RANGE_DB = -180.0, 195.0
_LEAK = 0.01


def is_installed() -> bool:
    """Whether the package with the weights is there."""
    return _weights_path() is not None


def _weights_path() -> Path | None:
    found = find_spec(_PACKAGE)  # finds a package without running it
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / _WEIGHTS
    return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution over time. `kernel` is (width * channels in, channels out)."""

    kernel: Rows
    bias: NDArray[np.float64]
    width: int
    is_last: bool

    def __call__(self, rows: Rows) -> Rows:
        """(n, channels in) to (n - width + 1, channels out)."""
        count = max(0, len(rows) - self.width + 1)
        if self.width == 1:
            columns = rows
        else:
            windows = np.lib.stride_tricks.sliding_window_view(rows, self.width, axis=0)[:count]
            columns = windows.transpose(0, 2, 1).reshape(count, -1)
        out = columns @ self.kernel + self.bias
        return out if self.is_last else np.where(out > 0, out, _LEAK * out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Perth:
    """The two halves: one makes the mark, three find it at three speeds."""

    encoder: tuple[Layer, ...]
    slow: tuple[Layer, ...]
    normal: tuple[Layer, ...]
    fast: tuple[Layer, ...]


@cache
def load_perth() -> Perth:
    """The network, read once per process; raises ConfigError where the package is missing."""
    path = _weights_path()
    if path is None:
        raise ConfigError("watermarks need the package resemble-perth: pip install '.[engine]'")
    # Small products: a second thread of numpy's BLAS would spin for the first one's scraps, and take
    # a core from the models, whose own threads this does not touch. For the life of the process.
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    import torch  # reads the file, no more

    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    arrays = {name: value.double().numpy() for name, value in state.items()}
    return Perth(
        encoder=_layers(arrays, "encoder.layers"),
        slow=_layers(arrays, "decoder.slow_layers"),
        normal=_layers(arrays, "decoder.normal_layers"),
        fast=_layers(arrays, "decoder.fast_layers"),
    )


def _layers(arrays: dict[str, Rows], prefix: str) -> tuple[Layer, ...]:
    def names() -> Iterator[str]:
        for number in count():
            name = f"{prefix}.{number}.conv"
            if f"{name}.weight" not in arrays:
                return
            yield name

    found = list(names())
    return tuple(
        Layer(
            kernel=np.ascontiguousarray(
                arrays[f"{name}.weight"].transpose(2, 1, 0).reshape(-1, len(arrays[f"{name}.bias"]))
            ),
            bias=arrays[f"{name}.bias"],
            width=arrays[f"{name}.weight"].shape[2],
            is_last=name == found[-1],
        )
        for name in found
    )


class LayerStream:
    """Layers one after the other over rows that come in pieces, as over all of them at once.

    Before the first row and after the last each layer sees zeros, half its width of them. Of n rows
    that went in, n - LOOK_AHEAD_FRAMES have come out, and the rest at the end.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers
        self._kept = [np.zeros((layer.width // 2, _channels(layer))) for layer in layers]

    def push(self, rows: Rows) -> Rows:
        """The next rows in; those that are ready out."""
        for place in range(len(self._layers)):
            rows = self._through(place, rows)
        return rows

    def finish(self) -> Rows:
        """The rest. Nothing may be pushed afterwards."""
        rows = np.zeros((0, _channels(self._layers[0])))
        for place, layer in enumerate(self._layers):
            end = np.zeros((layer.width // 2, _channels(layer)))
            rows = self._through(place, np.concatenate([rows, end]))
        return rows

    def _through(self, place: int, rows: Rows) -> Rows:
        layer = self._layers[place]
        seen = np.concatenate([self._kept[place], rows])
        self._kept[place] = seen[max(0, len(seen) - layer.width + 1) :]
        return layer(seen) if len(seen) >= layer.width else np.zeros((0, len(layer.bias)))


def _channels(layer: Layer) -> int:
    return len(layer.kernel) // layer.width


@dataclass(frozen=True, slots=True)
class Frames:
    """Where frames lie in samples of a rate, and their spectra. Frame i is centred on `hop * i`."""

    window: NDArray[np.float64]
    hop: int

    @classmethod
    def at(cls, sample_rate_hz: int) -> "Frames":
        """The same moments and bands at any rate above 4 kHz."""
        size = 2 * round(WINDOW_S * sample_rate_hz / 2)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        return cls(window, round(FRAME_S * sample_rate_hz))

    @property
    def reach(self) -> int:
        """Samples on each side of a frame's centre."""
        return len(self.window) // 2

    def spectra(self, samples: NDArray[np.float64], count: int) -> NDArray[np.complex128]:
        """(count, bins) of the frames in `samples`, which begin `reach` before the first centre."""
        windows = np.lib.stride_tricks.sliding_window_view(samples, len(self.window))
        return np.asarray(np.fft.rfft(windows[:: self.hop][:count] * self.window, axis=1))

    def levels(self, spectra: NDArray[np.complex128]) -> Rows:
        """How loud each bin is, as the network hears it: 0 is silence, 1 very loud."""
        scale = _REFERENCE_WINDOW / len(self.window)
        decibels = 20 * np.log10(np.maximum(np.abs(spectra) * scale, 10 ** (_FLOOR_DB / 20)))
        levels: Rows = (decibels - _FLOOR_DB) / _RANGE_DB
        return levels


def gain_of(residual: Rows) -> Rows:
    """By what a bin is multiplied when the network adds this to its level."""
    factors: Rows = 10 ** (residual * _RANGE_DB / 20)
    return factors
