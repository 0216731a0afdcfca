"""StepLoop: what the engine's thread does over and over: decide, run, commit, deliver."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from chatterbox.engine.admission import Stream
from chatterbox.engine.capacity import CapacityMeter
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.entrance import Entrance, Forecast
from chatterbox.engine.listener import Listener
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import EngineLoad
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Bookmark, Chunk, Finish, Outcome, Phase, Sequence
from chatterbox.engine.stream import Rendered
from chatterbox.errors import ChatterboxError


class Sink(Protocol):
    """Where the audio of one sequence goes."""

    def deliver(self, rendered: Rendered) -> None: ...

    def finish(self, outcome: Outcome) -> None: ...

    def fail(self, error: ChatterboxError) -> None: ...


class StepLoop:
    """The scheduler, the device and the books of every open utterance. Belongs to one thread."""

    def __init__(
        self,
        device: Device,
        config: EngineConfig,
        entrance: Entrance,
        *,
        meter: CapacityMeter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.finished_count = 0
        self.load = EngineLoad(slots=config.slots, free_slots=config.slots)
        self.meter = meter or CapacityMeter()
        self._device = device
        self.entrance = entrance
        self._clock = clock
        self._scheduler = Scheduler(config)
        self._scheduler.costs = self.meter.costs
        self._sinks: dict[Sequence, Sink] = {}
        self._clips: dict[Sequence, list[Rendered]] = {}  # rendered and not yet delivered
        self._compute_s: dict[Sequence, float] = {}
        self._publish()

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return self._scheduler.is_idle

    def can_spare(self, seconds: float) -> bool:
        """Whether no listener would miss so much of the device's time."""
        return self._scheduler.slack_s(now_s=self._clock()) > seconds

    def take(self, sequence: Sequence, sink: Sink) -> None:
        """Enter a new sequence into the books."""
        self._sinks[sequence] = sink
        self._compute_s[sequence] = 0.0
        self._scheduler.submit(sequence, now_s=self._clock())

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence whose listener has left; harmless when it is over."""
        if self._scheduler.cancel(sequence, now_s=self._clock()):
            self._let_go(sequence)
            self._publish()

    def fail_all(self, error: ChatterboxError) -> None:
        """End everything that is open with an error."""
        for sequence in list(self._sinks):
            self._scheduler.cancel(sequence, now_s=self._clock())
            self._let_go(sequence).fail(error)
        self._publish()

    def step(self) -> None:
        """Decide, run, commit: some tokens for everyone, then the most urgent audio."""
        began_s = self._clock()
        self._scheduler.costs = self.meter.costs
        self._admit()
        plan = self._scheduler.plan(now_s=self._clock())
        busy_s = 0.0 if plan.is_empty else self._draw(plan)
        chunks = self._scheduler.ready_to_speak(now_s=self._clock(), idle=plan.is_empty)
        if chunks:
            busy_s += self._render(chunks)
        self._deliver()
        self.meter.spent(self._clock() - began_s - busy_s)
        self._publish()

    def _admit(self) -> None:
        """Prepare those whose turn has come; one that cannot be prepared fails alone."""
        while (sequence := self._scheduler.admit(now_s=self._clock())) is not None:
            self.entrance.begins(sequence)
            try:
                with self._charged_to(sequence):
                    positions = self._device.admit(sequence)
            except ChatterboxError as error:
                self._scheduler.cancel(sequence, now_s=self._clock())
                self._let_go(sequence).fail(error)
            else:
                if self._scheduler.admitted(sequence, positions, now_s=self._clock()):
                    self._finish(sequence)

    def _draw(self, plan: Plan) -> float:
        """Returns the seconds it took, as `_render`."""
        began_s = self._clock()
        with self._charged_to(*plan.sequences):
            drawn = self._device.draw(plan)
        now_s = self._clock()
        self.meter.drew(
            sequences=len(plan.decode),
            steps=plan.steps,
            positions=sum(piece.stop - piece.start for piece in plan.prefill),
            seconds=now_s - began_s,
        )
        for sequence in self._scheduler.commit(plan, drawn, now_s=now_s):
            if sequence.phase is Phase.DONE:
                self._finish(sequence)
        return now_s - began_s

    def _render(self, chunks: tuple[Chunk, ...]) -> float:
        began_s = self._clock()
        with self._charged_to(*(chunk.sequence for chunk in chunks)):
            clips = self._device.render(chunks)
        now_s = self._clock()
        self.meter.rendered(
            chunks=len(chunks),
            tokens=max(chunk.token_count for chunk in chunks),
            audio_s=sum(clip.duration_s for clip in clips),
            seconds=now_s - began_s,
        )
        for chunk, clip in zip(chunks, clips, strict=True):
            self._scheduler.rendered(chunk, now_s=now_s)
            # Before the bookmark, which is behind them.
            words = self._device.words(chunk) if chunk.sequence.utterance.timed else ()
            bookmark = self._bookmark(chunk.sequence)
            rendered = Rendered(clip=clip, bookmark=bookmark, words=words)
            self._clips.setdefault(chunk.sequence, []).append(rendered)
        return now_s - began_s

    def _bookmark(self, sequence: Sequence) -> Bookmark | None:
        """Behind what was rendered last, if anybody wants it."""
        if not sequence.utterance.marked:
            return None
        return Bookmark(
            tokens=tuple(sequence.tokens),
            voiced_count=sequence.voiced_count,
            finish=sequence.finish,
            sound=b"" if sequence.is_voiced else self._device.mark(sequence),
        )

    def _deliver(self) -> None:
        """Hand over the audio that may be heard."""
        now_s = self._clock()
        for sequence in self._scheduler.audible(now_s=now_s):
            clips = self._clips.pop(sequence)
            for rendered in clips:
                self._sinks[sequence].deliver(rendered)
            duration_s = sum(rendered.clip.duration_s for rendered in clips)
            if self._scheduler.delivered(sequence, duration_s=duration_s, now_s=now_s):
                self._finish(sequence)

    @contextlib.contextmanager
    def _charged_to(self, *sequences: Sequence) -> Iterator[None]:
        """Share the time spent inside equally between the sequences."""
        began_s = self._clock()
        try:
            yield
        finally:
            share_s = (self._clock() - began_s) / len(sequences)
            for sequence in sequences:
                self._compute_s[sequence] += share_s

    def _finish(self, sequence: Sequence) -> None:
        outcome = Outcome(
            token_count=len(sequence.tokens),
            compute_s=self._compute_s[sequence],
            finish=sequence.finish or Finish.STOPPED,
        )
        self.finished_count += 1
        self._let_go(sequence).finish(outcome)

    def _let_go(self, sequence: Sequence) -> Sink:
        """Forget a sequence everywhere; the only place where one leaves the engine."""
        self._device.forget(sequence)
        del self._compute_s[sequence]
        self._clips.pop(sequence, None)
        self.entrance.leave(sequence)
        return self._sinks.pop(sequence)

    def _publish(self) -> None:
        """Tell other threads how things stand."""
        scheduler = self._scheduler
        owed_s: dict[Stream, float] = {}
        for sequence in (*scheduler.waiting, *scheduler.running, *scheduler.voicing):
            stream = sequence.listener or sequence
            if stream not in owed_s:
                owed_s[stream] = stream.unsaid_s if isinstance(stream, Listener) else 0.0
            owed_s[stream] += sequence.owed_s
        heard_s = [owed_s[stream] for stream in scheduler.streams if isinstance(stream, Listener)]
        limit = scheduler.stream_limit
        self.entrance.forecast = Forecast(
            free_streams=None if limit is None else max(0, limit - len(heard_s)),
            departures_s=self._departures_s(heard_s),
        )
        self.load = EngineLoad(
            slots=scheduler.config.slots,
            free_slots=scheduler.free_slots,
            waiting=len(scheduler.waiting),
            open_utterances=scheduler.open_count,
            streams=len(heard_s),
            stream_limit=limit,
            queued_audio_s=sum(owed_s.values()),
        )

    def _departures_s(self, owed_s: list[float]) -> tuple[float, ...]:
        """When each listener will have been spoken to to the end, if all go on together."""
        if not owed_s:
            return ()
        config = self._scheduler.config
        busy = self.meter.costs.utilisation(len(owed_s), config.slots, config.render_batch)
        return tuple(busy * seconds for seconds in sorted(owed_s))
