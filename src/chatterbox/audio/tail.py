"""Tail: an utterance without what a model leaves behind its last word.

That is silence, and now and then a breath or a murmur: sound that comes after a silence, stays far
below the speech and does not last. It is told from a word by just that; a quiet word has other sound
around it or lasts longer. Only loudness is looked at.
"""

import struct
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME_S = 0.01
KEPT_S = 0.12  # of silence behind the last word
_MURMUR_S = 0.25  # a sound as short as this, ...
_APART_S = 0.2  # ... after so much silence, ...
_MURMUR_DB = -22.0  # ... against the loudest of the utterance
_SILENCE_DB = -45.0  # against the loudest; softer is silence
_FLOOR_DB = -66.0  # of full scale; softer is silence in any case
_KEPT = round(KEPT_S / FRAME_S)
_MOST_HELD = round(0.8 / FRAME_S)  # of a longer pause, what lies further back is given as silence
_STATE = struct.Struct("<dIIII")


@dataclass(slots=True)
class _Heard:
    """What the frames so far were, in frames."""

    loudest_db: float = _FLOOR_DB
    silent: int = 0  # since the last sound of any kind
    apart: int = 0  # of silence before the murmur that may be going on
    murmur: int = 0  # how long that has lasted
    passed: int = 0  # given since speech was heard last


class TailTrim:
    """Trims one utterance, piece by piece; the result does not depend on the pieces."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._frame = round(FRAME_S * sample_rate_hz)
        self._heard = _Heard()
        self._held: deque[Samples] = deque()  # whole frames behind those that were given
        self._part = np.zeros(0, np.float32)  # of the frame that is not whole yet

    def push(self, samples: Samples) -> Samples:
        """The next samples in; those that will be heard whatever follows, out."""
        self._part = np.concatenate([self._part, samples])
        count = len(self._part) // self._frame
        frames, self._part = np.split(self._part, [count * self._frame])
        ready: list[Samples] = []
        for frame in frames.reshape(count, self._frame):
            self._held.append(frame)
            if self._is_speech(frame):
                ready += self._held
                self._held.clear()
                self._heard.passed = 0
            elif self._heard.passed < _KEPT:
                ready.append(self._held.popleft())
                self._heard.passed += 1
            elif len(self._held) > _MOST_HELD:
                ready.append(np.zeros_like(self._held.popleft()))
                self._heard.passed += 1
        return _joined(ready)

    def finish(self) -> Samples:
        """The end, fading out if it is cut. Nothing may be pushed afterwards."""
        rest = _joined([*self._held, self._part])
        count = max(0, _KEPT + 1 - self._heard.passed)
        end = rest[: count * self._frame].copy()
        if len(end) < len(rest):
            fade = min(len(end), self._frame)
            end[len(end) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        return end

    def _is_speech(self, frame: Samples) -> bool:
        """Whether speech goes on, or has gone on all the while, now that this frame is known."""
        heard = self._heard
        power = float(np.mean(np.square(frame, dtype=np.float64)))
        level_db = 10 * np.log10(max(power, 1e-12))
        heard.loudest_db = max(heard.loudest_db, level_db)
        if level_db <= max(heard.loudest_db + _SILENCE_DB, _FLOOR_DB):
            heard.silent += 1
            return False
        if heard.silent >= round(_APART_S / FRAME_S):
            heard.apart, heard.murmur = heard.silent, 0
        heard.silent = 0
        if heard.apart == 0:
            return True
        heard.murmur += 1
        is_loud = level_db > heard.loudest_db + _MURMUR_DB
        if is_loud or heard.murmur > round(_MURMUR_S / FRAME_S):
            heard.apart = 0
            return True
        return False

    # For whoever goes on elsewhere.

    def state(self) -> bytes:
        """Everything that decides what comes out from here on."""
        heard = self._heard
        numbers = _STATE.pack(
            heard.loudest_db, heard.silent, heard.apart, heard.murmur, heard.passed
        )
        return numbers + _joined([*self._held, self._part]).astype("<f4").tobytes()

    def restore(self, state: bytes) -> None:
        """Go on where another one was."""
        self._heard = _Heard(*_STATE.unpack_from(state))
        held = np.frombuffer(state, "<f4", offset=_STATE.size).astype(np.float32)
        count = len(held) // self._frame
        frames, self._part = np.split(held, [count * self._frame])
        self._held = deque(frames.reshape(count, self._frame))


def _joined(pieces: list[Samples]) -> Samples:
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
