"""Stretches: a source of any length cut at fixed places, each with what lies around it.

What a listener makes of a sound depends on the sounds before and after it. A stretch brings eight
seconds of before and one of after; where it is cut depends on the source alone, never on the pieces
in which that arrives.
"""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.errors import InvalidRequest

LISTENING_HZ = 16_000
TOKEN_SAMPLES = 640  # of one speech token: 40 ms
FRAME_SAMPLES = 160  # of one mel frame
FRAMES_PER_TOKEN = TOKEN_SAMPLES // FRAME_SAMPLES
MARGIN_FRAMES = 2  # on either side: a frame hears 200 samples around it
LEAST_S = 0.1

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchPlan:
    """Where a source is cut, in tokens."""

    first: int = 25  # sooner, for the sake of who listens
    size: int = 50
    before: int = 200
    after: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Tokens `start` to `end` of a source, and the sound in which they are heard.

    `samples` (n,) at 16 kHz begin at token `heard_from`, `MARGIN_FRAMES` before it unless that is the
    beginning of the source. They end `MARGIN_FRAMES` behind token `heard_to`, or with the source.
    """

    samples: Samples
    heard_from: int
    heard_to: int
    start: int
    end: int
    is_last: bool

    @property
    def own(self) -> Samples:
        """The sound of the stretch alone."""
        margin = MARGIN_FRAMES * FRAME_SAMPLES if self.heard_from > 0 else 0
        origin = self.heard_from * TOKEN_SAMPLES - margin
        stop = None if self.is_last else self.end * TOKEN_SAMPLES - origin
        return self.samples[self.start * TOKEN_SAMPLES - origin : stop]


class StretchCutter:
    """Cuts one source. Holds about twelve seconds of it."""

    def __init__(self, from_hz: int, plan: StretchPlan | None = None) -> None:
        self._from_hz = from_hz
        self._plan = plan or StretchPlan()
        self._resampler = (
            None
            if from_hz == LISTENING_HZ
            else soxr.ResampleStream(from_hz, LISTENING_HZ, 1, dtype="float32")
        )
        self._taken = 0  # samples at the source's rate
        self._held: Samples = np.zeros(0, np.float32)
        self._held_from = 0  # the place of its first sample
        self._next = 0  # token

    @property
    def taken_s(self) -> float:
        """How much of the source has come."""
        return self._taken / self._from_hz

    @property
    def held_s(self) -> float:
        """How much of it is held."""
        return len(self._held) / LISTENING_HZ

    def push(self, clip: Clip) -> list[Stretch]:
        """The next sound; the stretches that are complete. Raises InvalidRequest for NaN."""
        assert clip.sample_rate_hz == self._from_hz, "a source keeps its rate"
        if not np.isfinite(clip.samples).all():
            raise InvalidRequest(
                "the source holds samples that are not numbers",
                field="audio",
                reason="AUDIO_UNREADABLE",
            )
        self._taken += len(clip)
        self._hold(np.clip(clip.samples, -1.0, 1.0), is_last=False)
        return self._complete()

    def finish(self) -> list[Stretch]:
        """The rest of the source; raises InvalidRequest if all of it is too short to be speech."""
        if self.taken_s < LEAST_S:
            raise InvalidRequest(
                f"the source has {self.taken_s:.2f} s of sound, at least {LEAST_S:g} s are needed",
                field="audio",
                reason="TOO_SHORT",
            )
        self._hold(np.zeros(0, np.float32), is_last=True)
        complete = self._complete()
        frames = (self._held_from + len(self._held)) // FRAME_SAMPLES
        return [*complete, self._cut(-(-frames // FRAMES_PER_TOKEN), None)]

    def _hold(self, samples: Samples, *, is_last: bool) -> None:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=is_last)
        self._held = np.concatenate([self._held, samples])

    def _complete(self) -> list[Stretch]:
        stretches: list[Stretch] = []
        while True:
            size = self._plan.size if self._next > 0 else self._plan.first
            heard_to = self._next + size + self._plan.after
            stop = heard_to * TOKEN_SAMPLES + MARGIN_FRAMES * FRAME_SAMPLES
            if self._held_from + len(self._held) < stop:
                return stretches
            stretches.append(self._cut(self._next + size, heard_to))

    def _cut(self, end: int, heard_to: int | None) -> Stretch:
        """Up to token `end`; without `heard_to`, what is left."""
        start, self._next = self._next, end
        heard_from = max(0, start - self._plan.before)
        margin = MARGIN_FRAMES * FRAME_SAMPLES
        begin = heard_from * TOKEN_SAMPLES - (margin if heard_from > 0 else 0)
        stop = None if heard_to is None else heard_to * TOKEN_SAMPLES + margin - self._held_from
        stretch = Stretch(
            samples=self._held[begin - self._held_from : stop].copy(),
            heard_from=heard_from,
            heard_to=end if heard_to is None else heard_to,
            start=start,
            end=end,
            is_last=heard_to is None,
        )
        # The next one begins to hear here.
        wanted = max(0, end - self._plan.before) * TOKEN_SAMPLES - margin
        spare = max(0, wanted - self._held_from)
        self._held, self._held_from = self._held[spare:], self._held_from + spare
        return stretch
