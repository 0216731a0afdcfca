"""DeviceEngine: the one thread that owns a device; submit, cancel, step, stop."""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from chatterbox.audio.clip import Clip
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.protocol import EngineState, FamilyInfo
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Chunk, Finish, Outcome, Phase, Sequence, Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.errors import ChatterboxError, EngineStopped, InvalidRequest, Overloaded

log = logging.getLogger(__name__)

MAX_FAILED_STEPS = 3  # in a row, without an utterance finished between: the device is broken


class DeviceEngine:
    """An `Engine` around one `Device`.

    Callers post to the thread through a queue and wait on their own streams; the thread
    alone touches the scheduler and the device. A step is: take arrivals, decide, run, commit.
    """

    def __init__(self, device: Device, config: EngineConfig | None = None) -> None:
        self._config = config or EngineConfig()
        self._device = device
        self._turnstile = _Turnstile(self._config.capacity)
        self._arrivals: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._state = EngineState.STARTING
        self._thread: threading.Thread | None = None
        self._loop = _StepLoop(device, self._config, self._turnstile, self._arrivals)

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        return self._device.families

    @property
    def state(self) -> EngineState:
        if self._state is EngineState.READY and self._loop.has_failed:
            return EngineState.FAILED
        return self._state

    @property
    def capacity(self) -> int:
        return self._config.capacity

    @property
    def slots(self) -> int:
        return self._config.slots

    @property
    def active_count(self) -> int:
        return self._turnstile.inside

    async def start(self) -> None:
        """Open the device on its thread and return when it is warm; raises what it raised."""
        assert self._thread is None, "an engine starts once"
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(
            target=self._loop.run, args=(started,), name="engine", daemon=True
        )
        self._thread.start()
        try:
            await started
        except BaseException:
            self._state = EngineState.FAILED
            raise
        self._state = EngineState.READY

    def submit(self, utterance: Utterance) -> SpeechStream:
        """Accept an utterance; see `Engine.submit`."""
        if self.state is not EngineState.READY:
            raise EngineStopped(f"the engine is {self.state.value}")
        if utterance.family not in self.families:
            raise InvalidRequest(f"no model family {utterance.family!r} is loaded", field="model")
        limit = min(self._device.max_tokens(utterance.text), self._config.max_speech_tokens)
        sequence = Sequence(utterance=utterance, max_tokens=limit)
        self._turnstile.enter()
        stream = SpeechStream(lambda: self._arrivals.put(lambda: self._loop.cancel(sequence)))
        self._arrivals.put(lambda: self._loop.take(sequence, stream))
        return stream

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Drain, then end the thread; what is still open then fails with EngineStopped."""
        if self._thread is None or self._state is EngineState.STOPPED:
            self._state = EngineState.STOPPED
            return
        self._state = EngineState.DRAINING
        await asyncio.to_thread(self._turnstile.wait_until_empty, timeout_s=drain_s)
        self._arrivals.put(None)
        await asyncio.to_thread(self._thread.join)
        self._state = EngineState.STOPPED


class _Turnstile:
    """Counts the open utterances, so that `submit` can refuse without asking the thread."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._left = threading.Condition()
        self.inside = 0

    def enter(self) -> None:
        with self._left:
            if self.inside >= self._capacity:
                raise Overloaded(f"{self.inside} utterances are already being spoken or waiting")
            self.inside += 1

    def leave(self) -> None:
        with self._left:
            self.inside -= 1
            assert self.inside >= 0, "every utterance leaves once"
            self._left.notify_all()

    def wait_until_empty(self, *, timeout_s: float) -> bool:
        """Block until nobody is inside; False when that took too long."""
        with self._left:
            return self._left.wait_for(lambda: self.inside == 0, timeout_s)


class _StepLoop:
    """What runs on the thread. Nothing here is touched from elsewhere but `has_failed`."""

    def __init__(
        self,
        device: Device,
        config: EngineConfig,
        turnstile: _Turnstile,
        arrivals: "queue.SimpleQueue[Callable[[], None] | None]",
    ) -> None:
        self.has_failed = False
        self._device = device
        self._scheduler = Scheduler(config)
        self._turnstile = turnstile
        self._arrivals = arrivals
        self._streams: dict[Sequence, SpeechStream] = {}
        self._compute_s: dict[Sequence, float] = {}
        self._failed_steps = 0

    def run(self, started: "asyncio.Future[None]") -> None:
        """Open the device, step until told to end, fail what is left, close the device."""
        loop = started.get_loop()
        try:
            self._device.open()
        except Exception as error:
            failure = error  # `error` itself ends with the except block
            _post(loop, lambda: _settle(started, failure))
            return
        _post(loop, lambda: _settle(started, None))
        try:
            while self._take_arrivals():
                self._guarded_step()
        finally:
            self._fail_all(EngineStopped("the engine has stopped"))
            self._device.close()

    def take(self, sequence: Sequence, stream: SpeechStream) -> None:
        """Enter a new sequence into the books."""
        self._streams[sequence] = stream
        self._compute_s[sequence] = 0.0
        if self.has_failed:
            self._let_go(sequence).fail(EngineStopped("the device has failed"))
            return
        self._scheduler.submit(sequence, now_s=time.monotonic())

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence whose listener has left; harmless when it is over."""
        if self._scheduler.cancel(sequence):
            self._let_go(sequence)

    def _take_arrivals(self) -> bool:
        """Run what others posted, waiting for it when there is nothing to do; False at the end."""
        while True:
            try:
                message = self._arrivals.get(block=self._scheduler.is_idle)
            except queue.Empty:
                return True
            if message is None:
                return False
            message()

    def _guarded_step(self) -> None:
        try:
            self._step()
        except Exception:
            log.exception("an engine step failed; every open utterance fails with it")
            self._fail_all(EngineStopped("the device failed; the request may be tried again"))
            self._failed_steps += 1
            self.has_failed = self._failed_steps >= MAX_FAILED_STEPS

    def _step(self) -> None:
        """Decide, run, commit: one token for everyone, then the most urgent audio."""
        self._admit()
        plan = self._scheduler.plan()
        if not plan.is_empty:
            with self._charged_to(*plan.sequences):
                drawn = self._device.draw(plan)
            for sequence in self._scheduler.commit(plan, drawn):
                if sequence.phase is Phase.DONE:
                    self._finish(sequence)
        chunks = self._scheduler.ready_to_speak()
        if chunks:
            with self._charged_to(*(chunk.sequence for chunk in chunks)):
                clips = self._device.render(chunks)
            for chunk, clip in zip(chunks, clips, strict=True):
                self._deliver(chunk, clip)

    def _admit(self) -> None:
        """Prepare those whose turn has come; one that cannot be prepared fails alone."""
        while (sequence := self._scheduler.admit()) is not None:
            try:
                with self._charged_to(sequence):
                    positions = self._device.admit(sequence)
            except ChatterboxError as error:
                self._scheduler.cancel(sequence)
                self._let_go(sequence).fail(error)
            else:
                self._scheduler.admitted(sequence, positions)

    @contextlib.contextmanager
    def _charged_to(self, *sequences: Sequence) -> Iterator[None]:
        """Share the time spent inside equally between the sequences."""
        began_s = time.monotonic()
        try:
            yield
        finally:
            share_s = (time.monotonic() - began_s) / len(sequences)
            for sequence in sequences:
                self._compute_s[sequence] += share_s

    def _deliver(self, chunk: Chunk, clip: Clip) -> None:
        self._streams[chunk.sequence].deliver(clip)
        done = self._scheduler.rendered(chunk, duration_s=clip.duration_s, now_s=time.monotonic())
        if done:
            self._finish(chunk.sequence)

    def _finish(self, sequence: Sequence) -> None:
        outcome = Outcome(
            token_count=len(sequence.tokens),
            compute_s=self._compute_s[sequence],
            finish=sequence.finish or Finish.STOPPED,
        )
        self._failed_steps = 0
        self._let_go(sequence).finish(outcome)

    def _let_go(self, sequence: Sequence) -> SpeechStream:
        """Forget a sequence everywhere; the only place where one leaves the engine."""
        self._device.forget(sequence)
        del self._compute_s[sequence]
        self._turnstile.leave()
        return self._streams.pop(sequence)

    def _fail_all(self, error: ChatterboxError) -> None:
        for sequence in list(self._streams):
            self._scheduler.cancel(sequence)
            self._let_go(sequence).fail(error)


def _post(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(act)


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():  # whoever started the engine has given up
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
