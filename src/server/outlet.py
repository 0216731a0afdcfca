"""Outlet: one stream's events as bytes in the form that was asked for."""

import json
from bisect import bisect_right
from typing import Any

from chatterbox.audio.output import Marker, OutputChain, OutputFormat
from chatterbox.speech import (
    Audio,
    FlushDone,
    Interrupted,
    Silence,
    SpeechEvent,
    Started,
    Summary,
    UtteranceDone,
)

MAX_PLACES = 256  # of utterances that an interrupt may still speak of


class Outlet:
    """Drives one `OutputChain` with the events of one stream, in their order.

    Heavy work: call it from a thread, one call at a time.
    """

    def __init__(self, form: OutputFormat, *, marker: Marker | None) -> None:
        self.form = form
        self._marker = marker
        self._chain: OutputChain | None = None
        self._from_hz = 0
        self._segment = -1
        # Where utterances began, in seconds as they are heard and as the model counts.
        self._heard_s: list[float] = []
        self._model_s: list[float] = []

    @property
    def is_marked(self) -> bool:
        """Whether a watermark is put in."""
        return self._marker is not None

    @property
    def media_type(self) -> str:
        """As HTTP names the encoding."""
        return self._begun.media_type

    @property
    def sample_rate_hz(self) -> int:
        """Of what leaves."""
        return self._begun.sample_rate_hz

    @property
    def sent_s(self) -> float:
        """How much is in the bytes given so far."""
        return self._begun.sent / self.sample_rate_hz

    @property
    def heard_s(self) -> float:
        """How long what was said so far is heard."""
        return self._begun.heard / self.sample_rate_hz

    @property
    def _begun(self) -> OutputChain:
        assert self._chain is not None, "Started is the first event"
        return self._chain

    def bytes_of(self, event: SpeechEvent) -> bytes:
        """What leaves because of this event; often nothing."""
        match event:
            case Started():
                self._begin(event.sample_rate_hz)
            case Audio():
                return self._sound(event)
            case UtteranceDone():
                return self._begun.end_utterance()
            case FlushDone():
                return self._begun.flush()
            case Interrupted():
                self._begun.drop()
            case Summary():
                return self._begun.finish()
            case _:
                pass
        return b""

    def _begin(self, from_hz: int) -> None:
        self._from_hz = from_hz
        self._chain = OutputChain(self.form, from_hz=from_hz, marker=self._marker)

    def _sound(self, audio: Audio) -> bytes:
        chain = self._begun
        if audio.silence is Silence.ASKED:
            return chain.pause(audio.clip.duration_s)
        if audio.silence is Silence.BOUNDARY:
            return chain.pause(audio.clip.duration_s / self.form.speaking_rate)
        before = b""
        if audio.segment != self._segment:
            before = chain.end_utterance()
            self._segment = audio.segment
            self._heard_s.append(self.heard_s)
            self._model_s.append(audio.offset_samples / self._from_hz)
            del self._heard_s[:-MAX_PLACES], self._model_s[:-MAX_PLACES]
        return before + chain.push(audio.clip)

    def said_at_s(self, into_s: float) -> float:
        """When it is heard what the model says `into_s` after the utterance's beginning."""
        return self._heard_s[-1] + into_s / self.form.speaking_rate

    def model_s(self, heard_s: float) -> float:
        """Where the listener is by the model's clock, to within the utterance."""
        place = bisect_right(self._heard_s, heard_s) - 1
        if place < 0:
            return heard_s
        into_s = (heard_s - self._heard_s[place]) * self.form.speaking_rate
        ends_s = self._model_s[place + 1] if place + 1 < len(self._model_s) else float("inf")
        return min(self._model_s[place] + into_s, ends_s - 1 / self._from_hz)

    # Going on elsewhere.

    def state(self) -> bytes:
        """What an outlet of the same form needs to go on (`OutputFormat.can_resume`)."""
        head = {
            "from_hz": self._from_hz,
            "segment": self._segment,
            "heard_s": self._heard_s,
            "model_s": self._model_s,
        }
        return json.dumps(head).encode() + b"\n" + self._begun.state()

    def restore(self, state: bytes) -> None:
        """Go on where the outlet was that gave `state`, in place of Started."""
        line, _, inside = state.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        self._begin(head["from_hz"])
        self._segment = head["segment"]
        self._heard_s, self._model_s = head["heard_s"], head["model_s"]
        self._begun.restore(inside)
