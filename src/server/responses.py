"""Responses: one stream's events as the messages that tell of them."""

import json
import time
from typing import Any

from google.protobuf.duration_pb2 import Duration

from chatterbox.audio.output import Marker, OutputFormat
from chatterbox.playback import PlaybackClock
from chatterbox.speech import (
    Audio,
    FlushDone,
    Interrupt,
    Interrupted,
    SpeechEvent,
    SpeechInput,
    Started,
    Summary,
    Warned,
)
from chatterbox.v1 import synthesis_pb2 as pb
from server.convert_audio import WIRE_ENCODINGS
from server.outlet import Outlet

Response = pb.StreamingSynthesizeResponse


class Responses:
    """Numbers the chunks of one stream and keeps its clock, which is that of what is heard.

    Underruns are counted here too: another tempo, or sound that is still held back, is nothing that
    whoever makes the speech knows of.
    """

    def __init__(
        self, *, request_id: str, form: OutputFormat, marker: Marker | None = None
    ) -> None:
        self._request_id = request_id
        self._outlet = Outlet(form, marker=marker)
        self._sequence = 0
        self._segment = 0
        self._playback = PlaybackClock()
        self._owed_since_s = 0.0
        self._spoke_s: float | None = None  # when the first sound came, and when it left
        self._left_s: float | None = None

    def to(self, event: SpeechEvent) -> list[Response]:
        """The messages for this event, often none; `Started` comes first.

        Encodes what is heard: call it from a thread, one call at a time.
        """
        if isinstance(event, Audio):
            self._segment = event.segment
            self._owed_since_s = event.owed_since_s
            self._spoke_s = self._spoke_s or time.monotonic()
        began_s = 0.0 if isinstance(event, Started) else self._outlet.sent_s
        content = self._outlet.bytes_of(event)
        responses = [self._chunk(content, began_s)] if content else []
        if isinstance(event, Audio) and event.words:
            responses.append(self._timings(event))
        told = self._told(event)
        return responses if told is None else [*responses, told]

    def understood(self, given: SpeechInput) -> SpeechInput:
        """An input whose moments are by the model's clock."""
        if isinstance(given, Interrupt) and given.playback_offset_s is not None:
            return Interrupt(self._outlet.model_s(given.playback_offset_s))
        return given

    def _chunk(self, content: bytes, began_s: float) -> Response:
        now_s = time.monotonic()
        self._left_s = self._left_s or now_s
        self._playback.delivered(
            self._outlet.sent_s - began_s, now_s=now_s, owed_since_s=self._owed_since_s
        )
        chunk = pb.AudioChunk(
            audio_content=content,
            sequence=self._sequence,
            offset=duration(began_s),
            segment_index=self._segment,
        )
        self._sequence += 1
        return Response(audio=chunk)

    def _timings(self, audio: Audio) -> Response:
        words = [
            pb.WordTiming(
                word=word.text,
                start_offset=duration(self._outlet.said_at_s(word.start_s)),
                end_offset=duration(self._outlet.said_at_s(word.end_s)),
                segment_index=audio.segment,
            )
            for word in audio.words
        ]
        return Response(word_timings=pb.WordTimings(words=words))

    def _told(self, event: SpeechEvent) -> Response | None:
        match event:
            case Started():
                return Response(started=self._started(event))
            case FlushDone():
                offset = duration(self._outlet.heard_s)
                return Response(flush_done=pb.FlushDone(flush_id=event.flush_id, offset=offset))
            case Interrupted():
                self._playback.stop()
                interrupted = pb.SynthesisInterrupted(
                    offset=duration(self._outlet.sent_s), dropped_text=event.dropped_text
                )
                return Response(interrupted=interrupted)
            case Warned():
                warning = pb.SynthesisWarning(code=event.code, message=event.message)
                return Response(warning=warning)
            case Summary():
                return Response(summary=self._summary(event))
        return None

    def _started(self, event: Started) -> pb.SynthesisStarted:
        return pb.SynthesisStarted(
            request_id=self._request_id,
            model=f"models/{event.model}",
            voice=f"voices/{event.voice}" if event.voice else "",
            audio_encoding=WIRE_ENCODINGS[self._outlet.form.encoding],
            sample_rate_hertz=self._outlet.sample_rate_hz,
            seed=event.seed,
            watermarked=self._outlet.is_marked,
        )

    def _summary(self, event: Summary) -> pb.SynthesisSummary:
        heard_s = self._outlet.heard_s
        first_s, wall_s = event.time_to_first_audio_s, event.synthesis_duration_s
        if self._spoke_s is not None and self._left_s is not None:
            first_s += self._left_s - self._spoke_s
            wall_s = max(wall_s, first_s)
        return pb.SynthesisSummary(
            audio_duration=duration(heard_s),
            character_count=event.character_count,
            segment_count=event.segment_count,
            time_to_first_audio=duration(first_s),
            synthesis_duration=duration(wall_s),
            compute_duration=duration(event.compute_duration_s),
            real_time_factor=wall_s / heard_s if heard_s else 0.0,
            underrun_count=self._playback.underrun_count,
            underrun_duration=duration(self._playback.underrun_s),
        )

    # Going on elsewhere.

    def state(self) -> bytes:
        """Behind the messages given last: what others need to go on (`OutputFormat.can_resume`)."""
        playback = self._playback
        dry_s = playback.runs_dry_s
        head = {
            "sequence": self._sequence,
            "segment": self._segment,
            "underruns": [playback.underrun_count, playback.underrun_s],
            # By the clock on the wall, which is the one that two machines share.
            "dry_at_s": None if dry_s is None else time.time() + dry_s - time.monotonic(),
        }
        return json.dumps(head).encode() + b"\n" + self._outlet.state()

    def restore(self, state: bytes) -> None:
        """Go on where those were that gave `state`; `Started` was told already."""
        line, _, inside = state.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        self._sequence, self._segment = head["sequence"], head["segment"]
        self._playback.underrun_count, self._playback.underrun_s = head["underruns"]
        if head["dry_at_s"] is not None:
            self._playback.runs_dry_s = time.monotonic() + head["dry_at_s"] - time.time()
        self._outlet.restore(inside)


def duration(seconds: float) -> Duration:
    """To the nanosecond."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
