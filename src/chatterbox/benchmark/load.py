"""Load: many callers at once, through the synthesizer and the engine, in this process.

First the capacity: as many callers as there are slots, each calling again when its speech is over.
Then arrivals at random (Poisson), which do not wait for one another, at a share of that capacity;
or, where a number of utterances was asked for, so many as fast as they are spoken. Memory is
watched all the time.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chatterbox.benchmark.calls import MOST_SENTENCES, Answer, make, random_call
from chatterbox.benchmark.machine import peak_memory, resident_mb
from chatterbox.benchmark.report import Advance, Figure
from chatterbox.benchmark.stream import running_engine
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.config import EngineConfig
from chatterbox.synthesis import Synthesizer

_CAPACITY_SHARE = 0.25  # of the run is spent on finding the capacity
_LEAST_CAPACITY_S = 2.0
_WAITING_PER_SLOT = 4
_WATCH_S = 0.25
_RETRY_S = 0.1
_ENDS = 0.1  # of what was watched, at either end, tells how memory grew


@dataclass(slots=True)
class Watch:
    """One phase of the run, as it went."""

    began_s: float = field(default_factory=time.monotonic)
    ended_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    open_counts: list[int] = field(default_factory=list)

    @property
    def audio_s(self) -> float:
        return sum(answer.audio_s for answer in self.answers)

    @property
    def audio_s_per_s(self) -> float:
        return self.audio_s / (self.ended_s - self.began_s)

    @property
    def mean_audio_s(self) -> float:
        """Of the calls that were not refused."""
        return self.audio_s / max(1, sum(not answer.is_refused for answer in self.answers))

    def look(self) -> None:
        """Note company and memory as they are now."""
        self.open_counts.append(sum(answer.ended_s is None for answer in self.answers))
        held = resident_mb()
        if held is not None:
            self.resident_mb.append(held)


class Crowd:
    """Everyone who calls; each call has a number, which decides what it asks for."""

    def __init__(self, subject: Subject, synthesizer: Synthesizer, *, most_sentences: int) -> None:
        self._subject = subject
        self._most_sentences = most_sentences
        self._synthesizer = synthesizer
        self._count = 0

    async def call(self, watch: Watch) -> Answer:
        """The next call, to its end."""
        call = random_call(self._subject, self._count, most_sentences=self._most_sentences)
        self._count += 1
        answer = Answer(began_s=time.monotonic())
        watch.answers.append(answer)
        await make(call, self._synthesizer, answer)
        return answer

    async def keep_calling(self, callers: int, watch: Watch, goes_on: Callable[[], bool]) -> None:
        """So many callers, each calling again when its speech is over."""

        async def again_and_again() -> None:
            while goes_on():
                answer = await self.call(watch)
                if answer.is_refused:
                    await asyncio.sleep(_RETRY_S)

        await asyncio.gather(*(again_and_again() for _ in range(callers)))

    async def arrive(self, rate_hz: float, duration_s: float, watch: Watch) -> None:
        """Callers who come at random times, whoever is still speaking; returns when all are done."""
        rng = random.Random(f"arrivals {self._subject.conditions.seed}")
        due_s = watch.began_s
        async with asyncio.TaskGroup() as group:
            while (due_s := due_s + rng.expovariate(rate_hz)) < watch.began_s + duration_s:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                group.create_task(self.call(watch))


def measure_load(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """Figures of the main phase, and the capacity if it was measured."""
    capacity, watch = asyncio.run(_run(subject, advance))
    heard = [a for a in watch.answers if a.first_audio_s is not None]
    first_s = sorted(a.first_audio_s for a in heard if a.first_audio_s is not None)
    if capacity is not None:
        yield Figure.of("capacity_audio_s_per_s", [capacity])
        yield Figure.of("offered_share", [subject.conditions.offered])
    yield Figure.of("calls", [len(watch.answers)])
    yield Figure.of("refused", [sum(a.is_refused for a in watch.answers)])
    yield Figure.of("left_early", [sum(a.has_left for a in watch.answers)])
    yield Figure.of("underruns", [sum(a.underruns for a in watch.answers)])
    if first_s:
        yield Figure.of("ttfa_s", first_s)
        yield Figure.of("ttfa_p95_s", [_percentile(first_s, 0.95)])
        yield Figure.of("ttfa_p99_s", [_percentile(first_s, 0.99)])
    factors = [f for a in watch.answers if (f := a.real_time_factor) is not None]
    if factors:
        yield Figure.of("rtf", factors)
    yield Figure.of("audio_s_per_s", [watch.audio_s_per_s])
    yield Figure.of("open_calls", watch.open_counts)
    yield from _memory(watch)
    yield from peak_memory(subject.models.device)


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _memory(watch: Watch) -> Iterator[Figure]:
    """How much more was held at the end of the phase than at its beginning."""
    held = watch.resident_mb
    if not held:
        return
    ends = max(1, round(_ENDS * len(held)))
    growth = statistics.median(held[-ends:]) - statistics.median(held[:ends])
    yield Figure.of("rss_mb", held)
    yield Figure.of("rss_growth_mb", [growth])


async def _run(subject: Subject, advance: Advance) -> tuple[float | None, Watch]:
    asked = subject.conditions
    config = EngineConfig(
        slots=asked.streams,
        max_waiting=_WAITING_PER_SLOT * asked.streams,
        threads=asked.threads,
    ).suited_to(asked.device)
    async with running_engine(subject.natural_device(config), config) as engine:
        synthesizer = Synthesizer(engine=engine, voices=subject.library)
        most = MOST_SENTENCES if asked.utterances is None else 1
        crowd = Crowd(subject, synthesizer, most_sentences=most)
        if asked.utterances is not None:
            return None, await _speak_all(crowd, asked.streams, asked.utterances, advance)
        capacity_s = max(_LEAST_CAPACITY_S, _CAPACITY_SHARE * asked.duration_s)
        async with _watching(advance, capacity_s / (capacity_s + asked.duration_s)) as before:
            capacity = await _capacity(crowd, asked.streams, capacity_s, before)
        rate_hz = asked.offered * capacity / before.mean_audio_s
        async with _watching(advance, asked.duration_s / (capacity_s + asked.duration_s)) as watch:
            await crowd.arrive(rate_hz, asked.duration_s, watch)
    return capacity, watch


async def _capacity(crowd: Crowd, callers: int, duration_s: float, watch: Watch) -> float:
    """Audio seconds a second with so many callers at all times; the last calls are let go on."""
    end_s = watch.began_s + duration_s
    calling = asyncio.create_task(
        crowd.keep_calling(callers, watch, lambda: time.monotonic() < end_s)
    )
    await asyncio.sleep(duration_s)
    capacity = watch.audio_s / (time.monotonic() - watch.began_s)
    await calling
    return capacity


async def _speak_all(crowd: Crowd, callers: int, count: int, advance: Advance) -> Watch:
    """`count` utterances after a warm-up of as many; only the former are watched.

    oneDNN keeps a kernel for each of the last 1,024 shapes, which are there after some 400 utterances.
    """
    for calls in (max(callers, count), count):
        numbers = iter(range(calls))
        async with _watching(advance, 0.5) as watch:
            await crowd.keep_calling(callers, watch, lambda it=numbers: next(it, None) is not None)  # type: ignore[misc]
    return watch


@asynccontextmanager
async def _watching(advance: Advance, share: float) -> AsyncIterator[Watch]:
    """Watch what happens inside; `share` of the run."""
    watch = Watch()

    async def look_again_and_again() -> None:
        while True:
            watch.look()
            await asyncio.sleep(_WATCH_S)

    looking = asyncio.create_task(look_again_and_again())
    try:
        yield watch
    finally:
        looking.cancel()
        watch.ended_s = time.monotonic()
        watch.look()
        advance(share)
