"""Conversions: what comes out, who is let in, and what is left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode_stream import Damage
from chatterbox.conversion import (
    MAX_CONVERSIONS,
    ConversionConfig,
    ConversionEvent,
    Converted,
    Converter,
)
from chatterbox.engine.tone import ToneEngine
from chatterbox.errors import EngineStopped, InvalidRequest, NotFound, Overloaded
from chatterbox.evaluation.likeness import speaker_embedder
from chatterbox.speech import Audio, Started, Warned
from chatterbox.voices.library import VoiceLibrary

TONES = Path(__file__).parents[2] / "src" / "chatterbox" / "assets" / "tone" / "voices"
RATE = 16_000


async def pieces(clip: Clip, size: int = 4_000) -> AsyncIterator[Clip | Damage]:
    for start in range(0, len(clip), size):
        yield Clip(clip.samples[start : start + size], clip.sample_rate_hz)


async def events(
    converter: Converter, source: AsyncIterator[Clip | Damage], **config: Any
) -> list[ConversionEvent]:
    async with asyncio.timeout(60):
        return [each async for each in converter.convert(ConversionConfig(**config), source)]


def sound(heard: list[ConversionEvent]) -> np.ndarray:
    return np.concatenate([each.clip.samples for each in heard if isinstance(each, Audio)])


def noise(seconds: float) -> Clip:
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, int(seconds * RATE))
    return Clip(samples.astype(np.float32), RATE)


@pytest.fixture
async def tones() -> AsyncIterator[Converter]:
    engine = ToneEngine()
    await engine.start()
    yield Converter(engine=engine, voices=VoiceLibrary([TONES]))
    await engine.stop()


async def test_an_engine_of_tones_gives_back_the_source(tones: Converter) -> None:
    heard = await events(tones, pieces(noise(7.3)), voice="bass", seed=5)
    assert heard[0] == Started(model="tone", voice="bass", sample_rate_hz=24_000, seed=5)
    assert isinstance(heard[-1], Converted)
    assert heard[-1].source_s == pytest.approx(7.3)
    assert len(sound(heard)) == pytest.approx(7.3 * 24_000, abs=1)
    audios = [each for each in heard if isinstance(each, Audio)]
    assert [audio.sequence for audio in audios] == list(range(len(audios)))
    assert audios[-1].offset_samples == len(sound(heard)) - len(audios[-1].clip)


async def test_an_hour_is_converted_as_it_comes_and_none_of_it_is_held(tones: Converter) -> None:
    minute, asked = noise(60.0), 0

    async def hour() -> AsyncIterator[Clip | Damage]:
        nonlocal asked
        for _ in range(60):
            asked += 1
            yield minute

    seconds = 0.0
    async with aclosing(tones.convert(ConversionConfig(), hour())) as heard:
        async for each in heard:
            if isinstance(each, Audio):
                seconds += each.clip.duration_s
                # What came in and has not gone out is this minute's, and twelve seconds before.
                assert asked * 60.0 - seconds <= 73.0
    assert seconds == pytest.approx(3600.0, abs=0.01)


async def test_silence_is_as_long_as_it_was(tones: Converter) -> None:
    heard = await events(tones, pieces(Clip(np.zeros(5 * RATE, np.float32), RATE)))
    assert len(sound(heard)) == 5 * 24_000
    assert not sound(heard).any()


async def test_damage_ends_the_source_with_a_warning(tones: Converter) -> None:
    async def damaged() -> AsyncIterator[Clip | Damage]:
        yield noise(3.0)
        yield Damage()

    heard = await events(tones, damaged())
    assert [each.code for each in heard if isinstance(each, Warned)] == ["SOURCE_DAMAGED"]
    assert len(sound(heard)) == pytest.approx(3 * 24_000, abs=1)


@pytest.mark.parametrize(
    ("source", "limit_s", "reason"),
    [
        (Clip(np.zeros(0, np.float32), RATE), 60.0, "TOO_SHORT"),
        (Clip(np.full(RATE, np.nan, np.float32), RATE), 60.0, "AUDIO_UNREADABLE"),
        (noise(9.0), 5.0, "TOO_LONG"),
    ],
)
async def test_what_is_no_source_is_refused_and_leaves_nothing(
    tones: Converter, source: Clip, limit_s: float, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        async for _ in tones.convert(ConversionConfig(), pieces(source), max_source_s=limit_s):
            pass
    assert caught.value.reason == reason
    assert tones.active == 0


@pytest.mark.parametrize("config", [{"voice": "nobody"}, {"model": "none"}])
async def test_who_does_not_exist_is_not_found(tones: Converter, config: Any) -> None:
    with pytest.raises(NotFound):
        await events(tones, pieces(noise(1.0)), **config)


async def test_no_more_are_let_in_than_are_served_and_leaving_makes_room(
    tones: Converter,
) -> None:
    async def endless() -> AsyncIterator[Clip | Damage]:
        await asyncio.Event().wait()
        yield noise(1.0)

    inside = [tones.convert(ConversionConfig(), endless()) for _ in range(MAX_CONVERSIONS)]
    for each in inside:
        await anext(each)
    with pytest.raises(Overloaded) as caught:
        await events(tones, pieces(noise(1.0)))
    assert caught.value.retry_after_s > 0
    await inside.pop().aclose()
    assert len(await events(tones, pieces(noise(1.0)))) >= 3
    for each in inside:
        await each.aclose()
    assert tones.active == 0


async def test_an_engine_that_stops_ends_the_conversion() -> None:
    engine = ToneEngine()
    await engine.start()
    converter = Converter(engine=engine, voices=VoiceLibrary([TONES]))

    async def halting() -> AsyncIterator[Clip | Damage]:
        yield noise(4.0)
        await engine.stop()
        yield noise(4.0)

    with pytest.raises(EngineStopped):
        await events(converter, halting())
    assert converter.active == 0


@pytest.fixture(scope="module")
def embed() -> Any:
    return speaker_embedder()


async def test_the_bundled_model_moves_the_voice_and_not_the_time(speech: Clip, embed: Any) -> None:
    from chatterbox.engine.model_device import model_engine

    engine, voices = model_engine("tiny"), VoiceLibrary()
    await engine.start()
    try:
        converter = Converter(engine=engine, voices=voices)
        small = await events(converter, pieces(speech, 1_999), voice="ben", seed=3)
        large = await events(converter, pieces(speech, 60_000), voice="ben", seed=3)
        other = await events(converter, pieces(speech), voice="ben", seed=4)
    finally:
        await engine.stop()
    heard = sound(small)
    assert np.array_equal(heard, sound(large)), "the pieces change nothing"
    assert not np.array_equal(heard, sound(other)), "the seed does"
    assert len(heard) == round(speech.duration_s * 24_000)
    near = {
        voice: float(
            embed(Clip(heard, 24_000))
            @ voices.conditioning(voice, "tiny").t3.speaker_embedding[0].numpy()
        )
        for voice in ("ada", "ben")
    }
    assert near["ben"] > near["ada"] + 0.1, near
