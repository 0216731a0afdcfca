"""The engine's thread: streams, bounds, leaving early, failing, stopping. On tones."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping
from collections.abc import Sequence as Several
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import MAX_FAILED_STEPS, DeviceEngine
from chatterbox.engine.job import Job
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import Engine, EngineState
from chatterbox.engine.sequence import Chunk, Finish, Sequence, Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.engine.tone import ToneDevice, ToneEngine
from chatterbox.errors import CheckpointError, EngineStopped, InvalidRequest, Overloaded
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)
SENTENCE = "The quick brown fox jumps over the lazy dog."


def utterance(text: str = SENTENCE, *, seed: int = 1, family: str = "tone") -> Utterance:
    return Utterance(
        text=text,
        family=family,
        voice="ada",
        language="en",
        sampling=Sampling(seed=seed),
        conditioning=NO_VOICE,
    )


class Gated(ToneDevice):
    """A tone device whose every token waits for the gate, and that counts what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.kept: set[Sequence] = set()
        self.closed = False

    def admit(self, sequence: Sequence) -> int:
        self.kept.add(sequence)
        return super().admit(sequence)

    def draw(self, plan: Plan) -> Job[Mapping[Sequence, tuple[int | None, ...]]]:
        assert self.gate.acquire(timeout=20)
        return super().draw(plan)

    def forget(self, sequence: Sequence) -> None:
        self.kept.discard(sequence)

    def close(self) -> None:
        self.closed = True


class Failing(ToneDevice):
    """A tone device that fails on texts that ask for it."""

    def admit(self, sequence: Sequence) -> int:
        if sequence.utterance.text == "corrupt voice":
            raise CheckpointError("the voice cannot be read")
        return super().admit(sequence)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        if any(chunk.sequence.utterance.text == "poison" for chunk in chunks):
            raise RuntimeError("out of memory")
        return super().render(chunks)


class Unopenable(ToneDevice):
    def open(self) -> None:
        raise CheckpointError("t3.safetensors is missing")


@asynccontextmanager
async def running(engine: DeviceEngine) -> AsyncIterator[DeviceEngine]:
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def samples_of(stream: SpeechStream) -> np.ndarray:
    return np.concatenate([clip.samples async for clip in stream])


async def until(condition: "Callable[[], bool]") -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.002)


async def test_an_utterance_becomes_clips_and_an_outcome() -> None:
    async with running(ToneEngine()) as engine:
        stream = engine.submit(utterance())
        samples = await samples_of(stream)
        assert stream.outcome is not None
        assert stream.outcome.finish is Finish.STOPPED
        assert len(samples) == 960 * stream.outcome.token_count
        assert stream.outcome.token_count == ToneDevice.token_count(SENTENCE)
        assert engine.active_count == 0


async def test_the_same_request_and_seed_give_the_same_samples_whatever_runs_beside() -> None:
    async with running(ToneEngine(EngineConfig(slots=3))) as engine:
        alone = await samples_of(engine.submit(utterance(seed=5)))
        streams = [engine.submit(utterance(seed=seed)) for seed in (5, 6, 7, 8)]
        together = await asyncio.gather(*map(samples_of, streams))
    np.testing.assert_array_equal(together[0], alone)
    assert not np.array_equal(together[1], alone)


async def test_the_first_clip_leaves_before_the_last_token_is_drawn() -> None:
    device = Gated()
    async with running(DeviceEngine(device)) as engine:
        stream = engine.submit(utterance("x" * 100))
        for _ in range(12):
            device.gate.release()
        async with asyncio.timeout(10):
            first = await anext(aiter(stream))
        assert len(first) == 9 * 960
        assert engine.active_count == 1
        device.gate.release(1000)


async def test_a_full_engine_refuses_and_takes_again_when_there_is_room() -> None:
    device = Gated()
    async with running(DeviceEngine(device, EngineConfig(slots=1, max_waiting=1))) as engine:
        first, second = engine.submit(utterance()), engine.submit(utterance())
        with pytest.raises(Overloaded):
            engine.submit(utterance())
        device.gate.release(1000)
        await samples_of(first)
        third = engine.submit(utterance())
        await asyncio.gather(samples_of(second), samples_of(third))


async def test_leaving_frees_the_slot_within_one_step() -> None:
    device = Gated()
    async with running(DeviceEngine(device, EngineConfig(slots=1, max_waiting=1))) as engine:
        leaving, waiting = engine.submit(utterance("long " * 50)), engine.submit(utterance("next"))
        device.gate.release(3)
        await until(lambda: len(device.kept) == 1)
        leaving.cancel()
        leaving.cancel()
        device.gate.release(1)  # the one step that may be under way
        await until(lambda: engine.active_count == 1)
        assert not [clip async for clip in leaving]
        device.gate.release(1000)
        assert len(await samples_of(waiting))
    assert not device.kept


async def test_leaving_while_the_text_is_read_frees_the_slot() -> None:
    device = Gated()
    config = EngineConfig(slots=1, max_waiting=1, prefill_positions=8)
    async with running(DeviceEngine(device, config)) as engine:
        leaving = engine.submit(utterance("x" * 80))  # ten pieces
        device.gate.release(3)
        await until(lambda: len(device.kept) == 1)
        leaving.cancel()
        device.gate.release(1)  # the one step that may be under way
        await until(lambda: engine.active_count == 0)
        assert not device.kept
        assert engine.load.free_slots == 1


async def test_leaving_a_stream_in_a_with_block_frees_the_slot() -> None:
    device = Gated()
    async with running(DeviceEngine(device)) as engine:
        async with engine.submit(utterance()):
            device.gate.release(2)
        device.gate.release(1)
        await until(lambda: engine.active_count == 0)
    assert not device.kept


async def test_a_voice_that_cannot_be_read_fails_its_own_utterance_alone() -> None:
    async with running(DeviceEngine(Failing())) as engine:
        good, bad = engine.submit(utterance()), engine.submit(utterance("corrupt voice"))
        with pytest.raises(CheckpointError):
            await samples_of(bad)
        assert len(await samples_of(good))


async def test_a_failing_step_fails_what_is_open_and_the_engine_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(DeviceEngine(Failing())) as engine:
        with pytest.raises(EngineStopped):
            await samples_of(engine.submit(utterance("poison")))
        assert "out of memory" in caplog.text
        assert engine.state is EngineState.READY
        assert len(await samples_of(engine.submit(utterance())))


async def test_an_engine_whose_device_keeps_failing_takes_no_more() -> None:
    async with running(DeviceEngine(Failing())) as engine:
        for _ in range(MAX_FAILED_STEPS):
            with pytest.raises(EngineStopped):
                await samples_of(engine.submit(utterance("poison")))
        await until(lambda: engine.state is EngineState.FAILED)
        with pytest.raises(EngineStopped):
            engine.submit(utterance())
        assert engine.active_count == 0


async def test_stopping_waits_for_open_streams_while_it_may() -> None:
    engine = ToneEngine(seconds_per_token=0.002)
    await engine.start()
    stream = engine.submit(utterance())
    _, samples = await asyncio.gather(engine.stop(drain_s=20), samples_of(stream))
    assert len(samples) == 960 * ToneDevice.token_count(SENTENCE)
    assert engine.state is EngineState.STOPPED


async def test_a_draining_engine_takes_no_more() -> None:
    engine = ToneEngine(seconds_per_token=0.002)
    await engine.start()
    stream = engine.submit(utterance())
    stopping = asyncio.create_task(engine.stop(drain_s=20))
    await asyncio.sleep(0)
    assert engine.state is EngineState.DRAINING
    with pytest.raises(EngineStopped):
        engine.submit(utterance())
    await asyncio.gather(stopping, samples_of(stream))


async def test_stopping_without_patience_fails_what_is_open() -> None:
    device = Gated()
    engine = DeviceEngine(device)
    await engine.start()
    stream = engine.submit(utterance())
    device.gate.release(1000)
    device.gate = threading.Semaphore(3)
    began_s = time.monotonic()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0.05)
    device.gate.release(1)
    await stopping
    with pytest.raises(EngineStopped):
        await samples_of(stream)
    assert time.monotonic() - began_s < 10
    assert device.closed
    assert not device.kept


async def test_what_makes_a_start_impossible_reaches_the_caller() -> None:
    engine = DeviceEngine(Unopenable())
    with pytest.raises(CheckpointError, match="missing"):
        await engine.start()
    assert engine.state is EngineState.FAILED
    with pytest.raises(EngineStopped):
        engine.submit(utterance())
    await engine.stop()


async def test_an_engine_that_never_started_can_be_stopped() -> None:
    engine = ToneEngine()
    with pytest.raises(EngineStopped):
        engine.submit(utterance())
    await engine.stop()
    assert engine.state is EngineState.STOPPED


async def test_an_unknown_family_is_an_invalid_request() -> None:
    async with running(ToneEngine()) as engine:
        with pytest.raises(InvalidRequest):
            engine.submit(utterance(family="other"))


class Rehearsing(ToneDevice):
    """A tone device that has something to say before the first listener comes."""

    def __init__(self, text: str = "x" * 60) -> None:
        super().__init__()
        self.text = text
        self.spoken: list[str] = []

    def trial(self, family: str) -> Utterance:
        return replace(utterance(self.text, family=family), awaited=False)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        self.spoken += [chunk.sequence.utterance.text for chunk in chunks]
        if self.text == "poison":
            raise RuntimeError("out of memory")
        return super().render(chunks)


async def test_an_engine_rehearses_and_then_knows_what_it_carries() -> None:
    device = Rehearsing()
    async with running(DeviceEngine(device)) as engine:
        assert set(device.spoken) == {device.text}
        assert engine.load.stream_limit is not None
        assert (engine.load.streams, engine.load.open_utterances) == (0, 0)
        assert engine.load.free_slots == engine.slots


async def test_a_device_that_cannot_rehearse_does_not_start() -> None:
    engine = DeviceEngine(Rehearsing("poison"))
    with pytest.raises(RuntimeError, match="out of memory"):
        await engine.start()
    assert engine.state is EngineState.FAILED
    await engine.stop()


async def test_the_load_tells_who_speaks_who_waits_and_what_is_owed() -> None:
    device = Gated()
    async with running(DeviceEngine(device, EngineConfig(slots=1, max_waiting=2))) as engine:
        streams = [engine.submit(utterance("x" * 100)) for _ in range(2)]
        device.gate.release(2)
        await until(lambda: engine.load.waiting == 1 and engine.load.free_slots == 0)
        load = engine.load
        assert (load.slots, load.open_utterances, load.streams) == (1, 2, 1)
        assert load.queued_audio_s == pytest.approx(2 * 170 / 25, rel=0.1)
        for stream in streams:
            stream.cancel()
        device.gate.release(1)
        await until(lambda: engine.load.queued_audio_s == 0.0 and engine.load.free_slots == 1)


def test_a_device_engine_is_an_engine() -> None:
    engine: Engine = ToneEngine()
    assert engine.state is EngineState.STARTING


def test_a_loop_that_is_gone_counts_as_leaving() -> None:
    device = Gated()
    engine = DeviceEngine(device)

    async def abandon() -> SpeechStream:
        await engine.start()
        return engine.submit(utterance())

    asyncio.run(abandon())
    device.gate.release(1000)
    deadline = time.monotonic() + 10
    while engine.active_count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert engine.active_count == 0
    asyncio.run(engine.stop())
