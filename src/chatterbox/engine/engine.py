"""DeviceEngine: the one thread that owns a device; submit, cancel, load, stop."""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from chatterbox.engine import pace
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.entrance import Entrance
from chatterbox.engine.errands import Errand, Errands
from chatterbox.engine.listener import Listener
from chatterbox.engine.protocol import EngineLoad, EngineState, FamilyInfo
from chatterbox.engine.rehearsal import rehearse
from chatterbox.engine.sequence import Sequence, Utterance
from chatterbox.engine.step_loop import StepLoop
from chatterbox.engine.stream import SpeechStream
from chatterbox.errors import EngineStopped, InvalidRequest

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_FAILED_STEPS = 3  # in a row, without an utterance finished between: the device is broken


class DeviceEngine:
    """An `Engine` around one `Device`.

    Callers post to the thread through a queue and wait on their own streams; the thread
    alone touches the scheduler and the device.
    """

    def __init__(self, device: Device, config: EngineConfig | None = None) -> None:
        self._config = config or EngineConfig()
        self._device = device
        self._entrance = Entrance(self._config)
        self._state = EngineState.STARTING
        self._thread: threading.Thread | None = None
        self._work = _Work(device, self._config, self._entrance)

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        return self._device.families

    @property
    def state(self) -> EngineState:
        if self._state is EngineState.READY and self._work.has_failed:
            return EngineState.FAILED
        return self._state

    @property
    def capacity(self) -> int:
        return self._config.capacity

    @property
    def slots(self) -> int:
        return self._config.slots

    @property
    def load(self) -> EngineLoad:
        return replace(self._work.load, open_utterances=self._entrance.open_count)

    @property
    def active_count(self) -> int:
        return self._entrance.open_count

    async def start(self) -> None:
        """Open the device on its thread and return when it is warm; raises what it raised."""
        assert self._thread is None, "an engine starts once"
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(
            target=self._work.run, args=(started,), name="engine", daemon=True
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
        sequence = Sequence(
            utterance=utterance,
            max_tokens=limit,
            expected_tokens=min(limit, pace.usual_tokens(utterance.text)),
            listener=(utterance.listener or Listener()) if utterance.awaited else None,
        )
        self._entrance.enter(sequence)
        stream = SpeechStream(lambda: self._work.post(lambda: self._work.cancel(sequence)))
        self._work.post(lambda: self._work.take(sequence, stream))
        return stream

    async def borrow(
        self, family: str, work: "Callable[[Models], Generator[None, None, T]]"
    ) -> T | None:
        """Have work done with a family's models; see `Engine.borrow`."""
        if self.state is not EngineState.READY:
            raise EngineStopped(f"the engine is {self.state.value}")
        if family not in self.families:
            raise InvalidRequest(f"no model family {family!r} is loaded", field="model")
        errand = Errand(family, work)
        self._work.errands.add(errand)
        self._work.post(_wake)
        result: T | None = await errand.result
        return result

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Drain, then end the thread; what is still open then fails with EngineStopped."""
        if self._thread is None or self._state is EngineState.STOPPED:
            self._state = EngineState.STOPPED
            return
        self._state = EngineState.DRAINING
        await asyncio.to_thread(self._entrance.wait_until_empty, timeout_s=drain_s)
        self._work.post(None)
        await asyncio.to_thread(self._thread.join)
        self._state = EngineState.STOPPED


class _Work:
    """What runs on the thread. Others use `post`, `load`, `has_failed` and `errands.add` only."""

    def __init__(self, device: Device, config: EngineConfig, entrance: Entrance) -> None:
        self.has_failed = False
        self.errands = Errands()
        self._device = device
        self._config = config
        self._entrance = entrance
        self._arrivals: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop = StepLoop(device, config, entrance)
        self._failed_steps = 0

    @property
    def load(self) -> EngineLoad:
        return self._loop.load

    def post(self, message: Callable[[], None] | None) -> None:
        """Have the thread do something between two steps; None ends it."""
        self._arrivals.put(message)

    def run(self, started: "asyncio.Future[None]") -> None:
        """Open the device, step until told to end, fail what is left, close the device."""
        loop = started.get_loop()
        try:
            self._device.open()
            meter = rehearse(self._device, self._config)
        except Exception as error:
            failure = error  # `error` itself ends with the except block
            _post(loop, lambda: _settle(started, failure))
            return
        self._loop = StepLoop(self._device, self._config, self._entrance, meter=meter)
        _post(loop, lambda: _settle(started, None))
        try:
            while self._take_arrivals():
                self._guarded_step()
                self._run_errand()
        finally:
            self._loop.fail_all(EngineStopped("the engine has stopped"))
            self.errands.fail_all(EngineStopped("the engine has stopped"))
            self._device.close()

    def _run_errand(self) -> None:
        if not self.errands.is_empty:
            is_convenient = self._loop.can_spare(self.errands.piece_s)
            self.errands.step(self._device.models, is_convenient=is_convenient)

    def take(self, sequence: Sequence, stream: SpeechStream) -> None:
        """Begin with a new sequence."""
        self._loop.take(sequence, stream)
        if self.has_failed:
            self._loop.fail_all(EngineStopped("the device has failed"))

    def cancel(self, sequence: Sequence) -> None:
        """Drop a sequence whose listener has left."""
        self._loop.cancel(sequence)

    def _take_arrivals(self) -> bool:
        """Run what others posted, waiting for it when there is nothing to do; False at the end."""
        while True:
            try:
                is_idle = self._loop.is_idle and self.errands.is_empty
                message = self._arrivals.get(block=is_idle)
            except queue.Empty:
                return True
            if message is None:
                return False
            message()

    def _guarded_step(self) -> None:
        finished_before = self._loop.finished_count
        try:
            self._loop.step()
        except Exception:
            log.exception("an engine step failed; every open utterance fails with it")
            self._loop.fail_all(EngineStopped("the device failed; the request may be tried again"))
            self._failed_steps += 1
            self.has_failed = self._failed_steps >= MAX_FAILED_STEPS
        else:
            if self._loop.finished_count > finished_before:
                self._failed_steps = 0


def _wake() -> None:
    """Nothing: that a message has come is enough."""


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
