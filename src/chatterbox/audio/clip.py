"""Clip: mono float32 samples with their rate; the only audio type passed about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of mono sound. `samples` is float32 of shape (n,), nominally in [-1, 1]."""

    samples: NDArray[np.float32]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        assert self.samples.ndim == 1, f"a clip is mono, got shape {self.samples.shape}"
        assert self.samples.dtype == np.float32, f"a clip is float32, got {self.samples.dtype}"

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz
