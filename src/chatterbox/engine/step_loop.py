"""StepLoop: what the engine's thread does over and over: decide, run, commit, deliver."""

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from chatterbox.audio.clip import Clip
from chatterbox.engine.admission import Stream
from chatterbox.engine.capacity import CapacityMeter
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.entrance import Entrance, Forecast
from chatterbox.engine.job import Job
from chatterbox.engine.listener import Listener
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import EngineLoad
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Bookmark, Chunk, Finish, Outcome, Phase, Sequence
from chatterbox.engine.stream import Rendered
from chatterbox.errors import ChatterboxError

T = TypeVar("T")


class Sink(Protocol):
    """Where the audio of one sequence goes."""

    def deliver(self, rendered: Rendered) -> None: ...

    def finish(self, outcome: Outcome) -> None: ...

    def fail(self, error: ChatterboxError) -> None: ...


@dataclass(frozen=True, slots=True)
class _Begun(Generic[T]):
    """A job, and the seconds that the thread was kept by beginning it."""

    job: Job[T]
    waited_s: float


@dataclass(frozen=True, slots=True)
class _Spent:
    """What the device spent on a job."""

    seconds: float
    hidden_s: float  # while the thread did something else; negative if it waited for longer


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
        self._rendering: tuple[tuple[Chunk, ...], _Begun[Several[Clip]]] | None = None
        self._device_s = 0.0  # that this step's thread has given to the device so far
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
        """End everything that is open with an error, and let go of what the device is at."""
        self._rendering = None
        for sequence in list(self._sinks):
            self._scheduler.cancel(sequence, now_s=self._clock())
            self._let_go(sequence).fail(error)
        self._publish()

    def step(self) -> None:
        """Decide, run, commit: some tokens for everyone, then the most urgent audio.

        Where the device can do both at once, audio is chosen and begun while it draws, and may
        be rendered for many steps; the tokens are waited for in this one.
        """
        began_s, self._device_s = self._clock(), 0.0
        self._scheduler.costs = self.meter.costs
        self._admit()
        plan = self._scheduler.plan(now_s=self._clock())
        drawing = None if plan.is_empty else self._begin(lambda: self._device.draw(plan))
        if drawing is not None and drawing.job.is_done:
            self._drawn(plan, drawing)
            drawing = None
        self._render(idle=plan.is_empty)
        if drawing is not None:
            self._drawn(plan, drawing)
        self._deliver()
        self.meter.spent(self._clock() - began_s - self._device_s)
        self._publish()

    def _admit(self) -> None:
        """Prepare those whose turn has come; one that cannot be prepared fails alone."""
        while (sequence := self._scheduler.admit(now_s=self._clock())) is not None:
            self.entrance.begins(sequence)
            try:
                began_s = self._clock()
                positions = self._device.admit(sequence)
                self._charge([sequence], self._clock() - began_s)
            except ChatterboxError as error:
                self._scheduler.cancel(sequence, now_s=self._clock())
                self._let_go(sequence).fail(error)
            else:
                if self._scheduler.admitted(sequence, positions, now_s=self._clock()):
                    self._finish(sequence)

    def _begin(self, begin: Callable[[], Job[T]]) -> "_Begun[T]":
        """Have the device begin something, which is all of it where it does it at once."""
        began_s = self._clock()
        job = begin()
        waited_s = self._clock() - began_s
        self._device_s += waited_s
        return _Begun(job, waited_s)

    def _result(self, begun: "_Begun[T]") -> "tuple[T, _Spent]":
        """What came of it, and what it took."""
        began_s = self._clock()
        result = begun.job.result()
        more_s = self._clock() - began_s
        self._device_s += more_s
        waited_s = begun.waited_s + more_s
        seconds = begun.job.seconds
        if seconds is None:
            return result, _Spent(waited_s, 0.0)
        return result, _Spent(seconds, seconds - waited_s)

    def _drawn(
        self, plan: Plan, drawing: "_Begun[Mapping[Sequence, tuple[int | None, ...]]]"
    ) -> None:
        """Wait for the tokens, and commit them."""
        drawn, spent = self._result(drawing)
        self._charge(plan.sequences, spent.seconds)
        self.meter.drew(
            sequences=len(plan.decode),
            steps=plan.steps,
            positions=sum(piece.stop - piece.start for piece in plan.prefill),
            seconds=spent.seconds,
            hidden_s=spent.hidden_s,
        )
        for sequence in self._scheduler.commit(plan, drawn, now_s=self._clock()):
            if sequence.phase is Phase.DONE:
                self._finish(sequence)

    def _render(self, *, idle: bool) -> None:
        """Take what was rendered, and have the most urgent rendered next; one at a time.

        An `idle` device has nothing to draw meanwhile: then what was begun is waited for.
        """
        self._take_rendered(wait=idle)
        if self._rendering is not None:
            return
        self._deliver()  # who was rendered to the end has no next chunk
        chunks = self._scheduler.ready_to_speak(now_s=self._clock(), idle=idle)
        if chunks:
            self._rendering = chunks, self._begin(lambda: self._device.render(chunks))
            self._take_rendered(wait=False)

    def _take_rendered(self, *, wait: bool) -> None:
        if self._rendering is None:
            return
        chunks, rendering = self._rendering
        if not (wait or rendering.job.is_done):
            return
        self._rendering = None
        clips, spent = self._result(rendering)
        self._charge([chunk.sequence for chunk in chunks], spent.seconds)
        self.meter.rendered(
            chunks=len(chunks),
            tokens=max(chunk.token_count for chunk in chunks),
            audio_s=sum(clip.duration_s for clip in clips),
            seconds=spent.seconds,
            hidden_s=spent.hidden_s,
        )
        now_s = self._clock()
        for chunk, clip in zip(chunks, clips, strict=True):
            if chunk.sequence not in self._sinks:
                continue  # left while it was rendered
            self._scheduler.rendered(chunk, now_s=now_s)
            # Before the bookmark, which is behind them.
            words = self._device.words(chunk) if chunk.sequence.utterance.timed else ()
            bookmark = self._bookmark(chunk.sequence)
            rendered = Rendered(clip=clip, bookmark=bookmark, words=words)
            self._clips.setdefault(chunk.sequence, []).append(rendered)

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

    def _charge(self, sequences: Several[Sequence], seconds: float) -> None:
        """Share time of the device equally between sequences."""
        for sequence in sequences:
            if sequence in self._compute_s:  # it may have left meanwhile
                self._compute_s[sequence] += seconds / len(sequences)

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
