"""An utterance that another engine goes on with sounds as if nothing had happened."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from chatterbox.audio.mel import s3gen_log_mel
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.sequence import Bookmark, Finish, Outcome, Utterance
from chatterbox.errors import InvalidRequest
from chatterbox.models.bundle import Models, load_models
from chatterbox.models.families import TINY
from chatterbox.models.s3gen.stream import StreamSettings
from chatterbox.speech import Sampling
from chatterbox.voices.library import VoiceLibrary

torch = pytest.importorskip("torch")

CONFIG = EngineConfig(slots=2)
SHORT = "The quick brown fox jumps over the lazy dog."
LONG = (
    "The quick brown fox jumps over the lazy dog, and then it runs away as fast as it can, "
    "because the dog has woken up and is not at all as lazy as everybody had thought."
)


@dataclass
class Heard:
    """What an utterance gave."""

    clips: list[np.ndarray] = field(default_factory=list)
    bookmarks: list[Bookmark] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.clips) if self.clips else np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def tiny() -> Models:
    return load_models(TINY)


@contextlib.asynccontextmanager
async def engine_of(models: Models, settings: StreamSettings) -> AsyncIterator[DeviceEngine]:
    """An engine of its own around weights that are loaded already."""
    device = ModelDevice([FamilySource(TINY, lambda: models)], CONFIG, settings)
    engine = DeviceEngine(device, CONFIG)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def utterance(text: str) -> Utterance:
    return Utterance(
        text=text,
        family="tiny",
        voice="ada",
        language="en",
        sampling=Sampling(seed=11),
        conditioning=lambda: VoiceLibrary().conditioning("ada", "tiny"),
        marked=True,
    )


async def speak(models: Models, asked: Utterance, settings: StreamSettings | None = None) -> Heard:
    heard = Heard()
    async with engine_of(models, settings or StreamSettings()) as engine:
        stream = engine.submit(asked)
        async for clip in stream:
            assert stream.bookmark is not None
            heard.clips.append(clip.samples)
            heard.bookmarks.append(stream.bookmark)
        heard.outcome = stream.outcome
    return heard


async def test_from_every_bookmark_the_rest_is_the_same(tiny: Models) -> None:
    whole = await speak(tiny, utterance(SHORT))
    assert len(whole.bookmarks) >= 3

    for number, bookmark in enumerate(whole.bookmarks):
        rest = await speak(tiny, replace(utterance(SHORT), begun=bookmark))

        assert len(bookmark.sound) < 10_000
        expected = np.concatenate([np.zeros(0, np.float32), *whole.clips[number + 1 :]])
        np.testing.assert_allclose(rest.samples, expected, rtol=0, atol=2e-5)
        assert rest.outcome is not None
        assert whole.outcome is not None
        assert rest.outcome.token_count == whole.outcome.token_count
        assert rest.outcome.finish is Finish.STOPPED


async def test_a_second_engine_may_be_lost_as_well(tiny: Models) -> None:
    whole = await speak(tiny, utterance(SHORT))
    second = await speak(tiny, replace(utterance(SHORT), begun=whole.bookmarks[0]))
    third = await speak(tiny, replace(utterance(SHORT), begun=second.bookmarks[0]))
    together = [whole.clips[0], second.clips[0], *third.clips]
    np.testing.assert_allclose(np.concatenate(together), whole.samples, rtol=0, atol=4e-5)


async def test_late_in_a_long_utterance_only_its_last_seconds_are_listened_to_again(
    tiny: Models,
) -> None:
    """Then the sound is not the same to the bit, but no seam tells where it was taken up."""
    short = StreamSettings(resume_tokens=50, window_tokens=25)
    whole = await speak(tiny, utterance(LONG), short)
    number = len(whole.bookmarks) - 3
    bookmark = whole.bookmarks[number]
    assert bookmark.voiced_count > 100

    rest = await speak(tiny, replace(utterance(LONG), begun=bookmark), short)

    assert rest.outcome is not None
    assert whole.outcome is not None
    assert rest.outcome.token_count == whole.outcome.token_count
    before = np.concatenate(whole.clips[: number + 1])
    assert len(before) + len(rest.samples) == len(whole.samples)

    resumed = np.concatenate([before, rest.samples])
    moves = np.abs(np.diff(resumed))
    seam = moves[len(before) - 5 : len(before) + 5]
    assert seam.max() < np.quantile(moves, 0.99)
    distance = np.abs(log_mel(rest.samples) - log_mel(whole.samples[len(before) :]))
    assert distance.mean() < 0.03  # another noise seed alone makes 0.06


def log_mel(samples: np.ndarray) -> np.ndarray:
    mel: np.ndarray = s3gen_log_mel(torch.from_numpy(samples)[None], 24_000, 80).numpy()
    return mel


@pytest.mark.parametrize(
    "damage",
    [b"", b"nothing of the kind", b"\x08\0\0\0\0\0\0\0{}      "],
    ids=["nothing", "noise", "empty"],
)
async def test_a_mark_of_something_else_is_refused(tiny: Models, damage: bytes) -> None:
    whole = await speak(tiny, utterance(SHORT))
    bookmark = replace(whole.bookmarks[0], sound=damage)
    with pytest.raises(InvalidRequest) as caught:
        await speak(tiny, replace(utterance(SHORT), begun=bookmark))
    assert caught.value.reason == "RESUME_INVALID"
