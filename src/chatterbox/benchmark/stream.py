"""The whole engine in this process: first audio, real-time factor, gaps."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chatterbox.benchmark.conditions import Conditions
from chatterbox.benchmark.machine import peak_memory
from chatterbox.benchmark.report import Advance, Figure
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.sequence import Utterance
from chatterbox.playback import PlaybackClock


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


async def listen_together(
    engine: DeviceEngine, subject: Subject, *, streams: int, tokens: int, first: int
) -> list[Heard]:
    """So many utterances of `tokens` speech tokens, from number `first` on, started at once.

    Each stream keeps its voice, so that after the first time all of them are known.
    """
    utterances = [
        subject.utterance(first + place, tokens=tokens, voice_number=place)
        for place in range(streams)
    ]
    return await asyncio.gather(*(listen(engine, each) for each in utterances))


@asynccontextmanager
async def running_engine(device: Device, config: EngineConfig) -> AsyncIterator[DeviceEngine]:
    """A warm engine around the device while the context lasts."""
    engine = DeviceEngine(device, config)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def stream_config(asked: Conditions, *, streams: int) -> EngineConfig:
    """Room for so many utterances of the length asked for, all spoken at once, however slowly."""
    return EngineConfig(
        slots=streams,
        threads=asked.threads,
        max_speech_tokens=max(asked.tokens, EngineConfig.max_speech_tokens),
        max_utilisation=0.0,
    ).suited_to(asked.device)


def measure_stream(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """`streams` utterances started together, again and again; the first time is told apart."""
    first, *runs = asyncio.run(_runs(subject, advance))
    together = [(max(h.wall_s for h in run), run) for run in runs]
    yield Figure.of("ttfa_s", [h.first_audio_s for run in runs for h in run])
    yield Figure.of("ttfa_new_voice_s", [h.first_audio_s for h in first])
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
    config = stream_config(asked, streams=asked.streams)
    runs = []
    async with running_engine(subject.exact_device(config), config) as engine:
        for repeat in range(asked.repeats + 1):
            first = repeat * asked.streams
            heard = await listen_together(
                engine, subject, streams=asked.streams, tokens=asked.tokens, first=first
            )
            runs.append(heard)
            advance(1 / (asked.repeats + 1))
    return runs
