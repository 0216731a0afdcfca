"""The engine around real networks, small and untrained: what needs no trained weights to hold."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pytest

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.job import Job
from chatterbox.engine.lane import CallersLane, Launch
from chatterbox.engine.model_device import FamilySource, ModelDevice, family_info, model_engine
from chatterbox.engine.protocol import EngineState
from chatterbox.engine.sequence import Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.engine.warm_up import nobody
from chatterbox.errors import CheckpointError, ConfigError, InvalidRequest
from chatterbox.models.bundle import Models, random_models
from chatterbox.models.conditioning import Conditioning
from chatterbox.models.families import ENGLISH, TINY
from chatterbox.speech import Sampling

CONFIG = EngineConfig(slots=2, max_speech_tokens=60, max_text_tokens=64, threads=1)
SMALL = replace(
    TINY,
    t3=replace(TINY.t3, layers=2, dim=64, heads=2, mlp_dim=96),
    s3gen=replace(
        TINY.s3gen,
        vocoder=replace(TINY.s3gen.vocoder, channels=32, pitch_channels=16),
    ),
)
T = TypeVar("T")
TEXT = "The quick brown fox."


class Letters:
    """A tokenizer without files that cannot read digits."""

    def encode(self, text: str, language: str) -> list[int]:
        if any(character.isdigit() for character in text):
            raise InvalidRequest("digits cannot be read", field="text")
        return [ord(character) % 100 + 3 for character in text]


@pytest.fixture(scope="module")
def models() -> Models:
    return random_models(SMALL, Letters(), seed=1)


@asynccontextmanager
async def running(models: Models, config: EngineConfig = CONFIG) -> AsyncIterator[DeviceEngine]:
    engine = DeviceEngine(ModelDevice([FamilySource(SMALL, lambda: models)], config), config)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def utterance(models: Models, text: str = TEXT, *, seed: int = 1) -> Utterance:
    return Utterance(
        text=text,
        family="tiny",
        voice="nobody",
        language="en",
        sampling=Sampling(seed=seed),
        conditioning=lambda: nobody(models),
    )


class LateLane(CallersLane):
    """Launches at once, as a GPU does, and is done after having been asked a few times."""

    def __init__(self) -> None:
        self.waits = 0

    def launch(self, launch: Launch[T]) -> Job[T]:
        return LateJob(self, launch())


class LateJob(Generic[T]):
    seconds = 0.1

    def __init__(self, lane: LateLane, finish: Callable[[], T]) -> None:
        self._lane, self._finish, self._asked = lane, finish, 0

    @property
    def is_done(self) -> bool:
        self._asked += 1
        return self._asked > 3

    def result(self) -> T:
        self._lane.waits += self._asked <= 3
        return self._finish()


async def samples_of(stream: SpeechStream) -> np.ndarray:
    return np.concatenate([clip.samples async for clip in stream])


async def test_the_same_request_and_seed_give_the_same_samples_in_any_company(
    models: Models,
) -> None:
    async with running(models) as engine:
        alone = await samples_of(engine.submit(utterance(models)))
        streams = [engine.submit(utterance(models, seed=seed)) for seed in (3, 1, 2)]
        _, together, other = await asyncio.gather(*map(samples_of, streams))
    # Sums of a batch come in another order, so the last bits may differ.
    assert len(together) == len(alone)
    assert np.abs(together - alone).max() < 1e-4 * np.abs(alone).max()
    assert len(other) != len(alone) or not np.array_equal(other, alone)


async def test_a_device_that_renders_while_it_draws_says_the_same(models: Models) -> None:
    drawing, rendering = LateLane(), LateLane()
    device = ModelDevice(
        [FamilySource(SMALL, lambda: models)], CONFIG, lanes=lambda _: (drawing, rendering)
    )
    async with running(models) as engine:
        at_once = await samples_of(engine.submit(utterance(models)))
    beside = DeviceEngine(device, CONFIG)
    await beside.start()
    try:
        streams = [beside.submit(utterance(models, seed=seed)) for seed in (1, 2, 3)]
        streams[1].cancel()
        together, other = await asyncio.gather(*map(samples_of, streams[::2]))
        alone = await samples_of(beside.submit(utterance(models)))
        assert beside.active_count == 0
    finally:
        await beside.stop()
    np.testing.assert_array_equal(alone, at_once)
    assert np.abs(together - alone).max() < 1e-4 * np.abs(alone).max()
    assert len(other)
    assert drawing.waits
    assert rendering.waits, "at the ends, with nothing left to draw"


async def test_every_token_drawn_is_heard(models: Models) -> None:
    async with running(models) as engine:
        stream = engine.submit(utterance(models))
        clips = [clip async for clip in stream]
    assert stream.outcome is not None
    assert sum(map(len, clips)) == 960 * stream.outcome.token_count
    assert len(clips) > 1, "the first audio left before the rest was there"
    assert all(np.isfinite(clip.samples).all() for clip in clips)
    assert abs(clips[-1].samples[-1]) < 1e-3


async def test_leaving_frees_slot_and_state(models: Models) -> None:
    async with running(models, replace(CONFIG, slots=1, max_waiting=1)) as engine:
        leaving, waiting = engine.submit(utterance(models)), engine.submit(utterance(models))
        await anext(leaving)
        leaving.cancel()
        assert len(await samples_of(waiting))
        assert engine.active_count == 0


async def test_a_text_the_tokenizer_refuses_fails_alone(models: Models) -> None:
    async with running(models) as engine:
        good, bad = engine.submit(utterance(models)), engine.submit(utterance(models, "7"))
        with pytest.raises(InvalidRequest, match="digits"):
            await samples_of(bad)
        assert len(await samples_of(good))


async def test_a_text_of_too_many_tokens_is_refused(models: Models) -> None:
    async with running(models) as engine:
        with pytest.raises(InvalidRequest, match="too long") as refusal:
            await samples_of(engine.submit(utterance(models, "a" * 65)))
    assert refusal.value.field == "input.text"


async def test_a_voice_that_cannot_be_read_fails_its_utterance_alone(models: Models) -> None:
    def unreadable() -> Conditioning:
        raise CheckpointError("conditioning.safetensors is corrupt")

    async with running(models) as engine:
        bad = engine.submit(replace(utterance(models), conditioning=unreadable))
        with pytest.raises(CheckpointError):
            await samples_of(bad)
        assert len(await samples_of(engine.submit(utterance(models))))
        assert engine.state is EngineState.READY


@pytest.mark.parametrize("contents", [None, b"", b"not safetensors"])
async def test_weights_that_cannot_be_loaded_fail_the_start(
    tmp_path: Path, contents: bytes | None
) -> None:
    if contents is not None:
        (tmp_path / "t3.safetensors").write_bytes(contents)
    engine = model_engine("tiny", tmp_path)
    with pytest.raises(CheckpointError, match=r"t3\.safetensors"):
        await engine.start()
    assert engine.state is EngineState.FAILED
    await engine.stop()


async def test_a_folder_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    engine = model_engine("tiny", tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="nowhere"):
        await engine.start()
    await engine.stop()


def test_a_family_that_is_unknown_or_not_bundled_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="huge"):
        model_engine("huge")
    with pytest.raises(ConfigError, match="english"):
        model_engine("english")


async def test_a_device_that_is_not_there_is_a_wrong_setting() -> None:
    engine = model_engine("tiny", device="warp core")
    with pytest.raises(ConfigError, match="warp core"):
        await engine.start()
    await engine.stop()


def test_what_is_told_of_a_family_is_what_it_is() -> None:
    info = family_info(ENGLISH)
    assert (info.id, info.sample_rate_hz, info.languages) == ("english", 24_000, ("en",))
    assert "cfg_weight" in info.parameters
    assert "top_k" not in info.parameters
