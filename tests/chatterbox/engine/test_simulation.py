"""Listeners before a device of known costs, in virtual time: who hears gaps, who waits, who is refused."""

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.engine.capacity import CapacityMeter
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.entrance import Entrance
from chatterbox.engine.job import Done, Job
from chatterbox.engine.listener import Listener
from chatterbox.engine.plan import Plan
from chatterbox.engine.rehearsal import rehearse
from chatterbox.engine.sequence import Chunk, Outcome, Sequence, Utterance
from chatterbox.engine.step_loop import StepLoop
from chatterbox.engine.stream import Rendered
from chatterbox.engine.tone import ToneDevice
from chatterbox.errors import ChatterboxError, Overloaded
from chatterbox.playback import PlaybackClock
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

T = TypeVar("T")
NO_VOICE = cast("Callable[[], Conditioning]", None)
SENTENCE = "This sentence has about as many letters as sentences usually have. "  # 4.6 s
RATE_HZ = 1_000  # of the silence that is delivered


def utterance(text: str, *, listener: Listener | None = None, awaited: bool = True) -> Utterance:
    return Utterance(
        text=text,
        family="tone",
        voice="ada",
        language="en",
        sampling=Sampling(seed=1),
        conditioning=NO_VOICE,
        listener=listener,
        awaited=awaited,
    )


@dataclass(kw_only=True)
class Timed(ToneDevice):
    """A device whose work takes virtual time."""

    step_s: float = 0.020  # one decode step
    step_each_s: float = 0.002  # and more for each sequence
    token_s: float = 0.005  # one token of the longest chunk of a batch
    position_s: float = 0.0002
    slowness: float = 1.0
    beside: bool = False  # renders while it draws, both more slowly
    contention: float = 1.2  # times as long, meanwhile
    now_s: float = 0.0

    def __post_init__(self) -> None:
        super().__init__()
        self.rendered_s = 0.0  # when the latest rendering ends

    def clock(self) -> float:
        return self.now_s

    def trial(self, family: str) -> Utterance | None:
        return utterance("x" * 60, awaited=False)

    def draw(self, plan: Plan) -> Job[Mapping[Sequence, tuple[int | None, ...]]]:
        read = sum(piece.stop - piece.start for piece in plan.prefill)
        step_s = self.step_s + self.step_each_s * len(plan.decode) if plan.decode else 0.0
        seconds = self.slowness * (plan.steps * step_s + read * self.position_s)
        drawn = super().draw(plan).result()
        if self.now_s < self.rendered_s:
            seconds *= self.contention
        return self._job(drawn, seconds)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        seconds = self.slowness * self.token_s * max(chunk.token_count for chunk in chunks)
        assert self.now_s >= self.rendered_s, "one at a time"
        if self.beside:
            seconds *= self.contention
            self.rendered_s = self.now_s + seconds
        sizes = [chunk.token_count * RATE_HZ // 25 for chunk in chunks]
        return self._job([Clip(np.zeros(n, np.float32), RATE_HZ) for n in sizes], seconds)

    def _job(self, value: T, seconds: float) -> Job[T]:
        if self.beside:
            return Later(self, value, seconds)
        self.now_s += seconds
        return Done(value)


class Later(Generic[T]):
    """A job that goes on while the clock does."""

    def __init__(self, device: Timed, value: T, seconds: float) -> None:
        self._device, self._value, self._ends_s = device, value, device.now_s + seconds
        self.seconds = seconds

    @property
    def is_done(self) -> bool:
        return self._device.now_s >= self._ends_s

    def result(self) -> T:
        self._device.now_s = max(self._device.now_s, self._ends_s)
        return self._value


@dataclass(kw_only=True)
class Stream:
    """A client with so many sentences to be spoken; the next is handed over as a session does."""

    sentences: int
    begins_s: float
    is_offline: bool = False
    listener: Listener = field(default_factory=Listener)
    submitted: int = 0
    finished: int = 0
    refused: Overloaded | None = None
    heard: list[tuple[int, int, float, float]] = field(default_factory=list)
    waited_s: float = 0.0

    def underruns(self) -> tuple[int, float]:
        """How often and how long a listener sat in silence after the first sound."""
        clock, ready_s = PlaybackClock(), 0.0
        for _, _, at_s, duration_s in sorted(self.heard):
            ready_s = max(ready_s, at_s)  # nobody hears the second sentence before the first
            clock.delivered(duration_s, now_s=ready_s, owed_since_s=self.begins_s)
        return clock.underrun_count, clock.underrun_s

    @property
    def first_audio_s(self) -> float:
        return min(at_s for _, _, at_s, _ in self.heard) - self.begins_s


class Simulation:
    """The engine's loop before these streams, until all of them are over."""

    def __init__(self, device: Timed, config: EngineConfig, streams: list[Stream]) -> None:
        self.device, self.config, self.streams = device, config, streams
        meter: CapacityMeter = rehearse(device, config, clock=device.clock)
        self.device.now_s = self.device.rendered_s = 0.0
        self.loop = StepLoop(device, config, Entrance(config), meter=meter, clock=device.clock)
        self.most_streams = 0

    def run(self, *, until_s: float = float("inf")) -> None:
        order = itertools.count()
        arrivals = [(stream.begins_s, next(order), stream) for stream in self.streams]
        heapq.heapify(arrivals)
        while (arrivals or not self.loop.is_idle) and self.device.now_s < until_s:
            if self.loop.is_idle and arrivals:
                self.device.now_s = max(self.device.now_s, arrivals[0][0])
            while arrivals and arrivals[0][0] <= self.device.now_s:
                self._hand_over(heapq.heappop(arrivals)[2])
            before = self.device.now_s, self.device.rendered_s
            self.loop.step()
            after = self.device.now_s, self.device.rendered_s
            assert self.loop.is_idle or after > before, "a step without progress"
            self.most_streams = max(self.most_streams, self.loop.load.streams)

    def _hand_over(self, stream: Stream) -> None:
        """Keep two sentences with the engine."""
        while stream.submitted < min(stream.sentences, stream.finished + 2):
            spoken = utterance(SENTENCE, awaited=not stream.is_offline)
            sequence = Sequence(
                utterance=spoken,
                max_tokens=1000,
                expected_tokens=self.device.token_count(SENTENCE),
                listener=None if stream.is_offline else stream.listener,
            )
            try:
                self.loop.entrance.enter(sequence)
            except Overloaded as refusal:
                assert not stream.heard, "only newcomers are refused"
                stream.refused = refusal
                return
            number = stream.submitted
            stream.submitted += 1
            rest = stream.sentences - stream.submitted
            stream.listener.unsaid_s = rest * self.device.token_count(SENTENCE) / 25
            self.loop.take(sequence, _Ear(self, stream, number))


@dataclass
class _Ear:
    simulation: Simulation
    stream: Stream
    number: int

    def deliver(self, rendered: Rendered) -> None:
        place = len(self.stream.heard)
        now_s = self.simulation.device.now_s
        self.stream.heard.append((self.number, place, now_s, rendered.clip.duration_s))

    def finish(self, outcome: Outcome) -> None:
        self.stream.finished += 1
        self.simulation._hand_over(self.stream)

    def fail(self, error: ChatterboxError) -> None:
        raise error


def gaps(streams: list[Stream]) -> list[tuple[int, float]]:
    return [stream.underruns() for stream in streams if stream.underruns()[0]]


def staggered(count: int, *, sentences: int, every_s: float) -> list[Stream]:
    return [Stream(sentences=sentences, begins_s=every_s * n) for n in range(count)]


FAST = {"step_s": 0.008, "step_each_s": 0.0005}  # real time ends at nine streams or ten
CONFIG = EngineConfig(slots=16, render_batch=4)


def test_sixteen_streams_below_the_capacity_are_heard_without_a_gap() -> None:
    device = Timed(step_s=0.006, step_each_s=0.0003, token_s=0.002)
    streams = staggered(16, sentences=10, every_s=0.5)
    simulation = Simulation(device, CONFIG, streams)
    simulation.run()
    limit = simulation.loop.load.stream_limit
    assert limit is not None
    assert limit >= 16
    assert simulation.most_streams == 16, "nobody was kept from beginning"
    assert gaps(streams) == []
    assert sorted(stream.first_audio_s for stream in streams)[8] < 1.0


def test_above_the_capacity_newcomers_wait_or_are_refused_and_nobody_hears_a_gap() -> None:
    streams = staggered(40, sentences=6, every_s=0.5)
    simulation = Simulation(Timed(**FAST), CONFIG, streams)
    simulation.run()
    heard = [stream for stream in streams if stream.heard]
    refused = [stream for stream in streams if stream.refused is not None]
    assert gaps(heard) == []
    assert simulation.most_streams < 12
    assert len(heard) + len(refused) == 40
    assert refused
    assert max(stream.first_audio_s for stream in heard) > 5.0, "some did wait"


def test_a_refusal_tells_when_it_is_worth_trying_again() -> None:
    streams = staggered(40, sentences=6, every_s=0.25)
    Simulation(Timed(**FAST), CONFIG, streams).run()
    told = [stream.refused.retry_after_s for stream in streams if stream.refused is not None]
    assert len(set(told)) > 1, "the time is measured, not a constant"
    assert all(1.0 <= seconds < 60.0 for seconds in told)


def test_a_crowd_is_let_in_as_fast_as_the_device_can_begin() -> None:
    streams = staggered(16, sentences=4, every_s=0.0)
    Simulation(Timed(**FAST), CONFIG, streams).run()
    begun = sorted(stream.first_audio_s for stream in streams if stream.heard)
    assert gaps([stream for stream in streams if stream.heard]) == []
    assert begun[0] < 1.0


@pytest.mark.parametrize("seed", range(4))
def test_streams_that_come_and_go_at_random_are_heard_without_a_gap(seed: int) -> None:
    rng = random.Random(seed)
    streams = [
        Stream(sentences=rng.randint(1, 12), begins_s=rng.uniform(0, 150)) for _ in range(50)
    ]
    Simulation(Timed(**FAST), CONFIG, streams).run()
    assert gaps([stream for stream in streams if stream.heard]) == []


def test_a_device_slower_than_real_time_still_speaks_for_one() -> None:
    device = Timed(step_s=0.08, token_s=0.02)
    streams = staggered(3, sentences=3, every_s=1.0)
    simulation = Simulation(device, CONFIG, streams)
    simulation.run()
    assert simulation.most_streams == 1
    assert streams[0].finished == 3
    assert all(stream.refused is not None for stream in streams[1:])


def test_more_streams_than_slots_take_turns_without_a_gap() -> None:
    device = Timed(step_s=0.004, step_each_s=0.0003, token_s=0.001)
    streams = staggered(12, sentences=8, every_s=0.5)
    simulation = Simulation(device, EngineConfig(slots=8), streams)
    simulation.run()
    assert simulation.most_streams > 8
    assert gaps(streams) == []


EVEN = {"step_s": 0.014, "step_each_s": 0.0005, "token_s": 0.004}  # half of it each


def test_a_device_that_renders_while_it_draws_carries_more_and_nobody_hears_a_gap() -> None:
    limits, begun_s = [], []
    for beside in (False, True):
        streams = staggered(40, sentences=6, every_s=0.5)
        simulation = Simulation(Timed(**EVEN, beside=beside), CONFIG, streams)
        simulation.run()
        heard = [stream for stream in streams if stream.heard]
        assert gaps(heard) == []
        assert all(stream.finished == 6 for stream in heard)
        limits.append(simulation.most_streams)
        begun_s.append(sorted(stream.first_audio_s for stream in heard)[len(heard) // 2])
    assert limits[1] >= limits[0] + 2
    assert begun_s[1] < begun_s[0]


@pytest.mark.parametrize("seed", range(4))
def test_they_come_and_go_at_random_before_a_device_that_renders_while_it_draws(seed: int) -> None:
    rng = random.Random(seed)
    streams = [
        Stream(sentences=rng.randint(1, 12), begins_s=rng.uniform(0, 150)) for _ in range(50)
    ]
    Simulation(Timed(**EVEN, beside=True), CONFIG, streams).run()
    heard = [stream for stream in streams if stream.heard]
    assert heard
    assert gaps(heard) == []


def test_a_machine_that_slows_down_takes_fewer_newcomers() -> None:
    device = Timed(**FAST)
    streams = staggered(1, sentences=12, every_s=0.0) + [
        Stream(sentences=6, begins_s=5.0 + 0.5 * n) for n in range(30)
    ]
    simulation = Simulation(device, CONFIG, streams)
    before = simulation.loop.load.stream_limit
    device.slowness = 2.0
    simulation.run()
    after = simulation.loop.load.stream_limit
    assert before is not None
    assert after is not None
    assert after < before
    assert simulation.most_streams <= after + 1


def test_what_nobody_listens_to_fills_what_is_left() -> None:
    listeners = staggered(8, sentences=6, every_s=1.0)
    offline = [Stream(sentences=4, begins_s=0.0, is_offline=True) for _ in range(6)]
    alone = staggered(8, sentences=6, every_s=1.0)
    Simulation(Timed(**FAST), CONFIG, alone).run()
    Simulation(Timed(**FAST), CONFIG, listeners + offline).run()
    assert gaps(listeners) == gaps(alone) == []
    assert all(stream.finished == 4 for stream in offline)
    assert all(stream.refused is None for stream in listeners)


def test_an_idle_device_works_ahead_of_its_only_listener() -> None:
    streams = staggered(1, sentences=10, every_s=0.0)
    simulation = Simulation(Timed(**FAST), CONFIG, streams)
    simulation.run()
    audio_s = sum(duration_s for _, _, _, duration_s in streams[0].heard)
    assert simulation.device.now_s < 0.5 * audio_s


def test_no_step_is_without_progress_whatever_the_costs() -> None:
    rng = random.Random(5)
    for _ in range(12):
        device = Timed(
            step_s=rng.choice([0.001, 0.02, 0.2]),
            step_each_s=rng.choice([0.0, 0.01]),
            token_s=rng.choice([0.0005, 0.02, 0.1]),
            position_s=rng.choice([0.00001, 0.001]),
            beside=rng.choice([False, True]),
        )
        streams = [Stream(sentences=2, begins_s=rng.uniform(0, 10)) for _ in range(6)]
        Simulation(device, EngineConfig(slots=4, max_wait_s=1e6), streams).run()  # asserts it
        assert all(stream.finished == 2 for stream in streams)
