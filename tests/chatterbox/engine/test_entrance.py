"""Who is let in, who is refused, and what the refused are told."""

from typing import TYPE_CHECKING, cast

import pytest

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.entrance import MAX_OPEN, Entrance, Forecast
from chatterbox.engine.listener import Listener
from chatterbox.engine.sequence import Sequence, Utterance
from chatterbox.errors import Overloaded
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)
CONFIG = EngineConfig(slots=2, max_waiting=2, max_wait_s=10.0)


def of(listener: Listener | None) -> Sequence:
    utterance = Utterance(
        text="text",
        family="tone",
        voice="ada",
        language="en",
        sampling=Sampling(seed=0),
        conditioning=NO_VOICE,
    )
    return Sequence(utterance=utterance, max_tokens=10, listener=listener)


def test_as_many_streams_are_let_in_as_may_speak_and_wait() -> None:
    entrance = Entrance(CONFIG)
    inside = [of(Listener()) for _ in range(4)]
    for sequence in inside:
        entrance.enter(sequence)
    with pytest.raises(Overloaded):
        entrance.enter(of(Listener()))
    entrance.leave(inside[0])
    entrance.enter(of(Listener()))
    assert entrance.open_count == 4


def test_a_stream_inside_may_bring_its_next_utterance_and_no_more() -> None:
    entrance, listener = Entrance(EngineConfig(slots=1, max_waiting=0)), Listener()
    first = of(listener)
    entrance.enter(first)
    entrance.enter(of(listener))
    with pytest.raises(Overloaded):
        entrance.enter(of(listener))
    entrance.leave(first)
    entrance.enter(of(listener))
    assert entrance.open_count == MAX_OPEN


def test_who_would_wait_too_long_is_refused_and_told_when_that_will_be_over() -> None:
    entrance = Entrance(CONFIG)
    entrance.forecast = Forecast(free_streams=0, departures_s=(4.0, 25.0))
    entrance.enter(of(Listener()))  # waits 4 s
    with pytest.raises(Overloaded, match="25 s") as refusal:
        entrance.enter(of(Listener()))
    assert refusal.value.retry_after_s == 15.0


def test_who_does_not_wait_any_more_makes_room_in_the_queue() -> None:
    entrance = Entrance(CONFIG)
    entrance.forecast = Forecast(free_streams=0, departures_s=(4.0, 25.0))
    first = of(Listener())
    entrance.enter(first)
    entrance.begins(first)
    entrance.enter(of(Listener()))


def test_conversations_and_what_nobody_listens_to_are_not_refused_for_a_long_wait() -> None:
    entrance = Entrance(CONFIG)
    entrance.forecast = Forecast(free_streams=0, departures_s=(100.0,))
    entrance.enter(of(Listener(has_heard=True)))
    entrance.enter(of(None))
    with pytest.raises(Overloaded):
        entrance.enter(of(Listener()))


def test_beyond_the_streams_of_today_the_wait_goes_on_growing() -> None:
    forecast = Forecast(free_streams=1, departures_s=(2.0, 5.0))
    assert [forecast.wait_s(place) for place in range(6)] == [0.0, 2.0, 5.0, 7.0, 10.0, 12.0]


def test_nothing_is_foreseen_before_anything_is_known() -> None:
    assert Forecast().wait_s(1_000) == 0.0
