"""The line of those who wait for a place."""

import asyncio
from collections.abc import Collection
from typing import Any

from balancer.policy import Wish
from balancer.waiting import WaitingLine

ANY = Wish()
RARE = Wish(model="models/rare")


class Places:
    """Gives out numbered places, as many as there are, by kind of wish."""

    def __init__(self) -> None:
        self.free: dict[Wish, list[Any]] = {ANY: [], RARE: []}

    def take(self, wish: Wish, avoid: Collection[str]) -> Any:
        return self.free[wish].pop(0) if self.free[wish] else None


def line_of(places: Places, *, max_length: int = 10, max_wait_s: float = 10.0) -> WaitingLine:
    return WaitingLine(max_length=max_length, max_wait_s=max_wait_s, take=places.take)


async def waiting(line: WaitingLine, wish: Wish = ANY, given_back: Any = None) -> Any:
    task = asyncio.create_task(line.wait(wish, (), give_back=given_back or (lambda place: None)))
    await asyncio.sleep(0)
    return task


async def test_places_go_out_in_the_order_of_arrival() -> None:
    places = Places()
    line = line_of(places)
    tasks = [await waiting(line) for _ in range(3)]
    places.free[ANY] = [1, 2]
    line.serve()
    assert [await task for task in tasks[:2]] == [1, 2]
    assert len(line) == 1
    tasks[2].cancel()


async def test_a_full_line_turns_away_at_once() -> None:
    line = line_of(Places(), max_length=1)
    first = await waiting(line)
    assert await line.wait(ANY, (), give_back=lambda place: None) is None
    first.cancel()


async def test_a_wait_ends() -> None:
    line = line_of(Places(), max_wait_s=0.05)
    assert await line.wait(ANY, (), give_back=lambda place: None) is None
    assert len(line) == 0


async def test_a_wish_nobody_can_grant_does_not_hold_up_the_others() -> None:
    places = Places()
    line = line_of(places)
    rare, common = await waiting(line, RARE), await waiting(line)
    places.free[ANY] = [1]
    line.serve()
    assert await common == 1
    assert not rare.done()
    rare.cancel()


async def test_a_newcomer_is_served_though_others_wait_for_something_else() -> None:
    places = Places()
    line = line_of(places)
    rare = await waiting(line, RARE)
    places.free[ANY] = [1]
    async with asyncio.timeout(20):
        assert await (await waiting(line)) == 1
    rare.cancel()


async def test_who_leaves_is_not_served() -> None:
    places = Places()
    line = line_of(places)
    first, second = await waiting(line), await waiting(line)
    first.cancel()
    await asyncio.sleep(0)
    places.free[ANY] = [1]
    line.serve()
    assert await second == 1


async def test_who_is_served_and_leaves_in_one_moment_gives_the_place_back() -> None:
    places = Places()
    line = line_of(places)
    given_back: list[Any] = []
    task = await waiting(line, given_back=given_back.append)
    places.free[ANY] = [1]
    line.serve()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert given_back == [1]
