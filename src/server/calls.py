"""CallRecord: what is known of the call being served, for its log line and its metrics."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from chatterbox.process.tracing import Span
from chatterbox.speech import Audio, SpeechEvent, Started, Summary


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One call, from its first byte to its status. `spoke` is told of audio as it comes."""

    method: str
    request_id: str
    span: Span
    spoke: Callable[[float], None]
    began_s: float = field(default_factory=time.monotonic)
    audio_s: float = 0.0
    time_to_first_audio_s: float | None = None  # of the call until its summary tells it better
    character_count: int | None = None
    real_time_factor: float | None = None
    underrun_count: int | None = None
    underrun_s: float | None = None

    @property
    def duration_s(self) -> float:
        """How long the call has lasted."""
        return time.monotonic() - self.began_s

    def note(self, event: SpeechEvent) -> None:
        """Take from an event what the record wants to know."""
        match event:
            case Started():
                self.span.note(model=event.model, voice=event.voice)
                self.span.happened("accepted")
            case Audio(clip=clip):
                if self.time_to_first_audio_s is None:
                    self.time_to_first_audio_s = self.duration_s
                    self.span.happened("first audio")
                self.audio_s += clip.duration_s
                self.spoke(clip.duration_s)
            case Summary() if self.audio_s > 0:
                self.span.note(compute_s=event.compute_duration_s, utterances=event.segment_count)
                self.time_to_first_audio_s = event.time_to_first_audio_s
                self.real_time_factor = event.real_time_factor
                self.character_count = event.character_count
                self.underrun_count = event.underrun_count
                self.underrun_s = event.underrun_s
            case _:
                pass


# Set by the interceptor before a handler runs; each call has a task and so a context of its own.
current_call: ContextVar[CallRecord] = ContextVar("current_call")
