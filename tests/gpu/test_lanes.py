"""On a GPU: two lanes say what one says, nothing waits in between, and what it gains."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.lane import CudaLane, Lane, lanes_of
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.s3gen_runner import S3GenRunner
from chatterbox.engine.sequence import Chunk, Finish, Sequence, Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.engine.warm_up import nobody
from chatterbox.models.bundle import Models, random_models
from chatterbox.models.families import NANO
from chatterbox.speech import Sampling

pytestmark = pytest.mark.gpu

CONFIG = EngineConfig(slots=8, max_speech_tokens=150, max_utilisation=0.0).suited_to("cuda")
TEXT = "The quick brown fox jumps over the lazy dog."


class Letters:
    """A tokenizer without files."""

    def encode(self, text: str, language: str) -> list[int]:
        return [ord(character) % 100 + 3 for character in text]


@pytest.fixture(scope="module")
def models() -> Models:
    return random_models(NANO, Letters(), seed=1, device="cuda")


def utterance(models: Models, seed: int) -> Utterance:
    voice = nobody(models).to(torch.device("cpu"))
    return Utterance(
        text=TEXT,
        family="nano",
        voice="nobody",
        language="en",
        sampling=Sampling(seed=seed),
        conditioning=lambda: voice,
        awaited=False,
    )


async def samples_of(stream: SpeechStream) -> np.ndarray:
    return np.concatenate([clip.samples async for clip in stream])


def one_lane(device: torch.device) -> tuple[Lane, Lane]:
    lane = CudaLane(device, urgent=False)
    return lane, lane


def spoken(
    models: Models, lanes: Callable[[torch.device], tuple[Lane, Lane]], streams: int
) -> tuple[list[np.ndarray], float]:
    """The samples of several streams together, and seconds of audio a second."""

    async def speak() -> tuple[list[np.ndarray], float]:
        device = ModelDevice([FamilySource(NANO, lambda: models)], CONFIG, lanes=lanes)
        engine = DeviceEngine(device, CONFIG)
        await engine.start()
        try:
            for _ in range(2):  # shapes are recorded in the first
                began_s = time.perf_counter()
                opened = [engine.submit(utterance(models, seed)) for seed in range(streams)]
                heard = await asyncio.gather(*map(samples_of, opened))
            taken_s = time.perf_counter() - began_s
            return list(heard), sum(map(len, heard)) / 24_000 / taken_s
        finally:
            await engine.stop()

    return asyncio.run(speak())


def test_two_lanes_say_what_one_says(models: Models) -> None:
    (one,), _ = spoken(models, one_lane, 1)
    (two,), _ = spoken(models, lanes_of, 1)
    assert len(two) == len(one)
    assert np.abs(two - one).max() < 1e-4 * np.abs(one).max()


def test_what_two_lanes_gain(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    """Fails only where it does not run; the figures are for the reader."""
    for streams in (1, 8):
        _, one = spoken(models, one_lane, streams)
        _, two = spoken(models, lanes_of, streams)
        with capsys.disabled():
            sys.stdout.write(
                f"\nnano, {streams} streams: {two:.1f} s of audio a second in two lanes,"
                f" {one:.1f} in one\n"
            )


@contextmanager
def nothing_waits() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_launching_waits_for_nothing(models: Models) -> None:
    voice = nobody(models).to(torch.device("cpu"))
    t3, s3gen = T3Runner(models, CONFIG), S3GenRunner(models)
    t3.prepare()
    speaker = t3.speaker(0, models.family.settle(Sampling(seed=1)), least_tokens=100)
    t3.prefill(speaker, Letters().encode(TEXT, "en"), voice.t3)
    t3.decode([speaker], 4)
    sequence = Sequence(utterance=utterance(models, 1), max_tokens=100)
    sequence.tokens, sequence.finish = list(range(60)), Finish.STOPPED
    s3gen.begin(sequence, voice.s3gen)
    for start in (0, 20):  # records the shape, and then one like it
        s3gen.render([Chunk(sequence, start, start + 20, is_last=False)])
    with nothing_waits():
        tokens = t3.launch([speaker], 4)
        clips = s3gen.launch([Chunk(sequence, 40, 60, is_last=True)])
    torch.cuda.synchronize()
    assert len(tokens()[0]) == 4
    assert len(clips()[0]) == 60 * 960 - 40 * 960
