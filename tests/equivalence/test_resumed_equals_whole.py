"""An utterance that another engine goes on with sounds as if nothing had happened."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chatterbox.audio.mel import s3gen_log_mel
from chatterbox.engine.sequence import Finish
from chatterbox.errors import InvalidRequest
from chatterbox.models.s3gen.stream import StreamSettings

torch = pytest.importorskip("torch")

SHORT = "The quick brown fox jumps over the lazy dog."
LONG = (
    "The quick brown fox jumps over the lazy dog, and then it runs away as fast as it can, "
    "because the dog has woken up and is not at all as lazy as everybody had thought."
)


async def test_from_every_bookmark_the_rest_is_the_same(tiny_engine: Any) -> None:
    whole = await tiny_engine.speak(tiny_engine.utterance(SHORT))
    assert len(whole.bookmarks) >= 3

    for number, bookmark in enumerate(whole.bookmarks):
        rest = await tiny_engine.speak(replace(tiny_engine.utterance(SHORT), begun=bookmark))

        assert len(bookmark.sound) < 10_000
        expected = np.concatenate([np.zeros(0, np.float32), *whole.clips[number + 1 :]])
        np.testing.assert_allclose(rest.samples, expected, rtol=0, atol=2e-5)
        assert rest.outcome is not None
        assert whole.outcome is not None
        assert rest.outcome.token_count == whole.outcome.token_count
        assert rest.outcome.finish is Finish.STOPPED


async def test_a_second_engine_may_be_lost_as_well(tiny_engine: Any) -> None:
    whole = await tiny_engine.speak(tiny_engine.utterance(SHORT))
    second = await tiny_engine.speak(
        replace(tiny_engine.utterance(SHORT), begun=whole.bookmarks[0])
    )
    third = await tiny_engine.speak(
        replace(tiny_engine.utterance(SHORT), begun=second.bookmarks[0])
    )
    together = [whole.clips[0], second.clips[0], *third.clips]
    np.testing.assert_allclose(np.concatenate(together), whole.samples, rtol=0, atol=4e-5)


async def test_late_in_a_long_utterance_only_its_last_seconds_are_listened_to_again(
    tiny_engine: Any,
) -> None:
    """Then the sound is not the same to the bit, but no seam tells where it was taken up."""
    short = StreamSettings(resume_tokens=50, window_tokens=25)
    whole = await tiny_engine.speak(tiny_engine.utterance(LONG), short)
    number = len(whole.bookmarks) - 3
    bookmark = whole.bookmarks[number]
    assert bookmark.voiced_count > 100

    rest = await tiny_engine.speak(replace(tiny_engine.utterance(LONG), begun=bookmark), short)

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
async def test_a_mark_of_something_else_is_refused(tiny_engine: Any, damage: bytes) -> None:
    whole = await tiny_engine.speak(tiny_engine.utterance(SHORT))
    bookmark = replace(whole.bookmarks[0], sound=damage)
    with pytest.raises(InvalidRequest) as caught:
        await tiny_engine.speak(replace(tiny_engine.utterance(SHORT), begun=bookmark))
    assert caught.value.reason == "RESUME_INVALID"
