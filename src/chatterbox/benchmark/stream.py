"""The whole engine in this process: first audio, real-time factor, gaps."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chatterbox.benchmark.machine import peak_memory
from chatterbox.benchmark.report import Figure
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.sequence import Utterance
from chatterbox.playback import PlaybackClock

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a listener has of one utterance."""

    first_audio_s: float  # after it was asked for
    wall_s: float  # to its last audio
    audio_s: float
    underruns: int
    token_count: int

    @property
    def real_time_factor(self) -> float:
        return self.wall_s / self.audio_s


async def listen(engine: DeviceEngine, utterance: Utterance) -> Heard:
    """Have an utterance spoken and hear it to its end."""
    began_s = time.monotonic()
    playback = PlaybackClock()
    first_audio_s, audio_s = 0.0, 0.0
    async with engine.submit(utterance) as stream:
        async for clip in stream:
            now_s = time.monotonic()
            first_audio_s = first_audio_s or now_s - began_s
            audio_s += clip.duration_s
            playback.delivered(clip.duration_s, now_s=now_s, owed_since_s=began_s)
    wall_s = time.monotonic() - began_s
    assert stream.outcome is not None, "the stream ended normally"
    return Heard(
        first_audio_s=first_audio_s,
        wall_s=wall_s,
        audio_s=audio_s,
        underruns=playback.underrun_count,
        token_count=stream.outcome.token_count,
    )


@asynccontextmanager
async def running_engine(
    subject: Subject, config: EngineConfig, *, exact: bool = True
) -> AsyncIterator[DeviceEngine]:
    """A warm engine around the subject while the context lasts."""
    engine = DeviceEngine(subject.device(config, exact=exact), config)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def measure_stream(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """`streams` utterances started together, again and again; each figure has one value a run."""
    runs = asyncio.run(_runs(subject, advance))
    together = [(max(h.wall_s for h in run), run) for run in runs]
    yield Figure.of("ttfa_s", [h.first_audio_s for run in runs for h in run])
    yield Figure.of("rtf", [h.real_time_factor for run in runs for h in run])
    yield Figure.of("underruns", [sum(h.underruns for h in run) for run in runs])
    yield Figure.of(
        "audio_s_per_s", [sum(h.audio_s for h in run) / wall_s for wall_s, run in together]
    )
    yield Figure.of(
        "tokens_per_s", [sum(h.token_count for h in run) / wall_s for wall_s, run in together]
    )
    yield Figure.of("audio_s", [h.audio_s for run in runs for h in run])
    yield from peak_memory(subject.models.device)


async def _runs(subject: Subject, advance: Advance) -> list[list[Heard]]:
    asked = subject.conditions
    config = EngineConfig(
        slots=asked.streams,
        threads=asked.threads,
        max_speech_tokens=max(asked.tokens, EngineConfig.max_speech_tokens),
    )
    runs = []
    async with running_engine(subject, config) as engine:
        for repeat in range(asked.repeats + 1):
            utterances = [
                subject.utterance(repeat * asked.streams + place, tokens=asked.tokens)
                for place in range(asked.streams)
            ]
            heard = await asyncio.gather(*(listen(engine, each) for each in utterances))
            if repeat > 0:  # the first one warms up
                runs.append(heard)
            advance()
    return runs
