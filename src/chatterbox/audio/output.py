"""OutputChain: from what a model says to the bytes that a listener asked for.

In this order, utterance by utterance: the tail behind the last word is trimmed, the tempo changed,
the watermark put in, the sample rate changed; then, over all of the stream, the gain and the
encoding. The mark comes after the tempo, so that no tempo weakens it. At the end of an utterance
every stage gives what it holds, so that nobody waits for the end of a sentence until the next begins.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import STATELESS, AudioEncoder, Encoding
from chatterbox.audio.loudness import amplified
from chatterbox.audio.resampler import Resampler
from chatterbox.audio.tail import TailTrim
from chatterbox.audio.tempo import Tempo
from chatterbox.speech import Delivery

Samples = NDArray[np.float32]

# About what is held back while an utterance goes on (docs/audio.md).
_MARK_HELD_S, _TEMPO_HELD_S, _FRAME_HELD_S = 0.22, 0.1, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """The form in which speech leaves. Whoever makes one has checked the values."""

    encoding: Encoding = Encoding.PCM
    sample_rate_hz: int | None = None  # None: the model's own
    speaking_rate: float = 1.0  # how fast, at the same pitch
    volume_gain_db: float = 0.0

    @property
    def can_resume(self) -> bool:
        """Whether another chain can go on at any sample; see `OutputChain.state`.

        Compressed encodings and another tempo depend on everything that was said before.
        """
        return self.encoding in STATELESS and self.speaking_rate == 1.0

    def delivery(self, *, is_marked: bool) -> Delivery:
        """What an engine should know of the way out."""
        held_back_s = _MARK_HELD_S if is_marked else 0.0
        if self.speaking_rate != 1.0:
            held_back_s += _TEMPO_HELD_S
        if self.encoding not in STATELESS:
            held_back_s += _FRAME_HELD_S
        return Delivery(speaking_rate=self.speaking_rate, held_back_s=held_back_s)


class Stage(Protocol):
    """Samples of one utterance to samples, some of which it may hold back."""

    def push(self, samples: Samples) -> Samples: ...

    def finish(self) -> Samples: ...


class ResumableStage(Stage, Protocol):
    """A stage that gives the same from any multiple of `hop` samples on.

    What comes out depends on at most `reach` + `hop` samples before it and as many after. The first
    `head` samples of an utterance are another matter.
    """

    hop: int
    reach: int
    head: int


class Marker(Protocol):
    """What puts a watermark into each utterance; `within` is a stage for what follows its head."""

    def stage(self, sample_rate_hz: int, *, within: bool = False) -> ResumableStage: ...


class OutputChain:
    """One stream's way out. Not for use by two threads at once.

    The bytes do not depend on how the utterances are cut into clips. `sent` and `heard` count on the
    clock of what is heard, in samples of `sample_rate_hz`.
    """

    def __init__(
        self,
        form: OutputFormat,
        *,
        from_hz: int,
        marker: Marker | None = None,
        trims_tails: bool = True,
    ) -> None:
        """Raises InvalidRequest for a sample rate that the encoding does not know.

        `trims_tails` is for what a model says of its own accord, not for what somebody has said.
        """
        self.sample_rate_hz = form.sample_rate_hz or from_hz
        self.can_resume = form.can_resume
        self.heard = 0  # what was said so far is so long
        self._form = form
        self._from_hz = from_hz
        self._marker = marker
        self._trims_tails = trims_tails
        self._encoder = AudioEncoder(form.encoding, self.sample_rate_hz)
        self._utterance: _UtteranceChain | None = None

    @property
    def media_type(self) -> str:
        """As HTTP names the encoding."""
        return self._encoder.media_type

    @property
    def sent(self) -> int:
        """How much of it is in the bytes returned so far, to within a frame of the codec."""
        return self._encoder.sent

    def push(self, clip: Clip) -> bytes:
        """The next sound of the utterance; the bytes that are ready, maybe none."""
        assert clip.sample_rate_hz == self._from_hz, "a stream keeps its rate"
        self._utterance = self._utterance or self._fresh()
        return self._write(self._utterance.push(clip.samples))

    def end_utterance(self) -> bytes:
        """The rest of the utterance, if there is one."""
        utterance, self._utterance = self._utterance, None
        return b"" if utterance is None else self._write(utterance.finish())

    def pause(self, seconds: float) -> bytes:
        """The rest of the utterance, and exact silence."""
        rest = self.end_utterance()
        return rest + self._write(np.zeros(round(seconds * self.sample_rate_hz), np.float32))

    def flush(self) -> bytes:
        """The rest of the utterance, and as much silence as pushes all of it out of the encoder."""
        rest = self.end_utterance()
        if self._encoder.sent == self.heard:
            return rest
        return rest + self._write(np.zeros(self._encoder.latency_samples, np.float32))

    def drop(self) -> None:
        """Forget what is held of the utterance: nobody wants to hear it any more."""
        self._utterance = None

    def finish(self) -> bytes:
        """The rest, and what the format wants at its end. Nothing may follow."""
        return self.end_utterance() + self._encoder.finish()

    def _write(self, samples: Samples) -> bytes:
        self.heard += len(samples)
        return self._encoder.encode(amplified(samples, self._form.volume_gain_db))

    def _fresh(self, *, within: bool = False) -> "_UtteranceChain":
        stages: list[Stage] = []
        if self._form.speaking_rate != 1.0:
            stages.append(Tempo(self._form.speaking_rate, self._from_hz))
        resumable: list[ResumableStage] = []
        if self._marker is not None:
            resumable.append(self._marker.stage(self._from_hz, within=within))
        if self.sample_rate_hz != self._from_hz:
            resumable.append(Resampler(self._from_hz, self.sample_rate_hz))
        trim = TailTrim(self._from_hz) if self._trims_tails else _WholeTail()
        return _UtteranceChain(trim, stages, resumable, within=within)

    # Going on elsewhere.

    def state(self) -> bytes:
        """What a chain of the same form needs to go on behind the bytes returned last.

        A few dozen bytes between utterances. Within one, the latest sound that the stages consult:
        up to 85 kB with a watermark, 5 kB with another sample rate only.
        """
        assert self.can_resume, f"{self._form} cannot be gone on with"
        inside = b"" if self._utterance is None else self._utterance.state()
        head = {
            "heard": self.heard,
            "speaks": self._utterance is not None,
            "within": self._utterance is not None and self._utterance.is_within,
        }
        return json.dumps(head).encode() + b"\n" + inside

    def restore(self, state: bytes) -> None:
        """Go on where the chain was that gave `state`; nothing may have been pushed."""
        line, _, inside = state.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        self.heard = head["heard"]
        rate = self.sample_rate_hz
        self._encoder = AudioEncoder(self._form.encoding, rate, begun_at=self.heard)
        if head["speaks"]:
            self._utterance = self._fresh(within=head["within"])
            self._utterance.restore(inside)


class _WholeTail:
    """In place of a `TailTrim`: all that was said is heard."""

    def push(self, samples: Samples) -> Samples:
        return samples

    def finish(self) -> Samples:
        return np.zeros(0, np.float32)

    def state(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        assert state == b"", "nothing is held"


class _UtteranceChain:
    """The stages of one utterance."""

    def __init__(
        self,
        trim: TailTrim | _WholeTail,
        stages: list[Stage],
        resumable: list[ResumableStage],
        *,
        within: bool,
    ) -> None:
        self._trim = trim
        self._stages = [*stages, *resumable]
        # So much of the latest input, from a place where every stage can begin, gives the rest.
        self._grid = math.lcm(*(stage.hop for stage in resumable))
        self._kept_samples = 2 * sum(stage.reach + stage.hop for stage in resumable)
        self._head = max((stage.head for stage in resumable), default=0)
        self._kept = np.zeros(0, np.float32)
        self.is_within = within  # what is kept begins behind the head of the utterance

    def push(self, samples: Samples) -> Samples:
        return self._through(self._trim.push(samples))

    def finish(self) -> Samples:
        samples = self._trim.finish()
        for stage in self._stages:
            samples = np.concatenate([stage.push(samples), stage.finish()])
        return samples

    def _through(self, samples: Samples) -> Samples:
        self._keep(samples)
        for stage in self._stages:
            samples = stage.push(samples)
        return samples

    def _keep(self, samples: Samples) -> None:
        kept = np.concatenate([self._kept, samples])
        spare = max(0, len(kept) - self._kept_samples) // self._grid * self._grid
        if self.is_within or spare >= self._head:
            self._kept, self.is_within = kept[spare:], self.is_within or spare > 0
        else:
            self._kept = kept

    def state(self) -> bytes:
        trim = self._trim.state()
        return len(trim).to_bytes(4, "little") + trim + self._kept.astype("<f4").tobytes()

    def restore(self, state: bytes) -> None:
        size = int.from_bytes(state[:4], "little")
        self._trim.restore(state[4 : 4 + size])
        # What comes out now was given by the chain before.
        self._through(np.frombuffer(state, "<f4", offset=4 + size).astype(np.float32))
