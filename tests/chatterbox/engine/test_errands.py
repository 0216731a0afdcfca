"""Work beside speaking: in pieces, in turn, bounded, and never in a listener's way."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.errands import MAX_ERRANDS, PATIENCE_S, Errand, Errands
from chatterbox.engine.sequence import Utterance
from chatterbox.engine.tone import ToneDevice, ToneEngine
from chatterbox.errors import EngineStopped, InvalidRequest, Overloaded
from chatterbox.speech import Sampling

MODELS: Any = object()


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def in_pieces(log: list[str], name: str, pieces: int = 3) -> Any:
    def work(models: Any) -> Generator[None, None, str]:
        assert models is MODELS
        for piece in range(pieces):
            if piece:
                yield
            log.append(f"{name}{piece}")
        return name

    return work


def step(errands: Errands, *, is_convenient: bool = True) -> None:
    errands.step(lambda family: MODELS, is_convenient=is_convenient)


async def test_one_piece_is_done_at_a_time_and_one_errand_after_the_other() -> None:
    errands, log = Errands(), []
    first, second = (Errand("tiny", in_pieces(log, name)) for name in "ab")
    errands.add(first)
    errands.add(second)
    for done in range(1, 7):
        step(errands)
        assert len(log) == done
    assert log == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert errands.is_empty
    assert await asyncio.gather(first.result, second.result) == ["a", "b"]


async def test_what_is_not_convenient_waits_for_a_while_only() -> None:
    clock, log = Clock(), []
    errands = Errands(clock=clock)
    errands.add(Errand("tiny", in_pieces(log, "a")))
    step(errands, is_convenient=False)
    assert log == []
    clock.now_s += PATIENCE_S
    step(errands, is_convenient=False)
    step(errands, is_convenient=False)
    assert log == ["a0"]
    step(errands)
    assert log == ["a0", "a1"]


async def test_an_error_ends_one_errand_alone() -> None:
    def wrong(models: Any) -> Generator[None, None, None]:
        yield
        raise InvalidRequest("too short")

    errands, log = Errands(), []
    failing, sound = Errand("tiny", wrong), Errand("tiny", in_pieces(log, "b", 1))
    errands.add(failing)
    errands.add(sound)
    for _ in range(3):
        step(errands)
    with pytest.raises(InvalidRequest):
        await failing.result
    assert await sound.result == "b"


async def test_who_has_left_costs_nothing_more() -> None:
    errands, log = Errands(), []
    errand = Errand("tiny", in_pieces(log, "a"))
    errands.add(errand)
    step(errands)
    errand.result.cancel()
    step(errands)
    assert log == ["a0"]
    assert errands.is_empty


async def test_more_than_can_wait_are_refused() -> None:
    errands = Errands()
    for _ in range(MAX_ERRANDS):
        errands.add(Errand("tiny", in_pieces([], "a")))
    with pytest.raises(Overloaded):
        errands.add(Errand("tiny", in_pieces([], "a")))


async def test_what_is_left_at_the_end_is_told() -> None:
    errands = Errands()
    errand = Errand("tiny", in_pieces([], "a"))
    errands.add(errand)
    errands.fail_all(EngineStopped("the end"))
    with pytest.raises(EngineStopped):
        await errand.result
    with pytest.raises(EngineStopped):
        errands.add(Errand("tiny", in_pieces([], "a")))


async def test_an_engine_without_models_has_none_to_lend() -> None:
    engine = ToneEngine(EngineConfig())
    with pytest.raises(EngineStopped):
        await engine.borrow("tone", in_pieces([], "a"))
    await engine.start()
    try:
        assert await engine.borrow("tone", in_pieces([], "a")) is None
        with pytest.raises(InvalidRequest):
            await engine.borrow("nothing", in_pieces([], "a"))
    finally:
        await engine.stop()


class Lending(ToneDevice):
    """Tones, and something to lend."""

    def models(self, family: str) -> Any:
        return MODELS


async def test_an_errand_is_done_while_somebody_listens() -> None:
    engine = DeviceEngine(Lending(seconds_per_token=0.002), EngineConfig())
    await engine.start()
    try:
        utterance = Utterance(
            text="A sentence that takes a while to be spoken. " * 5,
            family="tone",
            voice="alto",
            language="en",
            sampling=Sampling(seed=1),
            conditioning=lambda: MODELS,
        )
        stream = engine.submit(utterance)
        assert await engine.borrow("tone", in_pieces([], "a")) == "a"
        assert engine.active_count == 1
        assert [clip async for clip in stream]
        assert engine.active_count == 0
    finally:
        await engine.stop()


def test_a_piece_is_expected_to_take_as_long_as_the_longest_lately() -> None:
    clock = Clock()
    errands = Errands(clock=clock)

    def work(models: Any) -> Generator[None, None, None]:
        for seconds in (1.0, 0.1, 0.1):
            clock.now_s += seconds
            yield

    async def run() -> None:
        errands.add(Errand("tiny", work))
        expected = []
        for _ in range(3):
            step(errands)
            expected.append(round(errands.piece_s, 3))
        assert expected == [1.0, 0.9, 0.81]

    asyncio.run(run())
