"""WaitingLine: calls that wait for a place, first come first served, bounded in length and time."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from balancer.policy import Wish
from balancer.upstream import Upstream

Take = Callable[[Wish, Collection[str]], Upstream | None]


@dataclass(eq=False, slots=True)
class _Waiter:
    wish: Wish
    avoid: Collection[str]
    place: "asyncio.Future[Upstream]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class WaitingLine:
    """Whoever is served has taken the place already; `take` does both in one."""

    def __init__(self, *, max_length: int, max_wait_s: float, take: Take) -> None:
        self._max_length = max_length
        self._max_wait_s = max_wait_s
        self._take = take
        self._line: list[_Waiter] = []

    def __len__(self) -> int:
        return len(self._line)

    async def wait(
        self, wish: Wish, avoid: Collection[str], *, give_back: Callable[[Upstream], None]
    ) -> Upstream | None:
        """A place; None when the line is full or the wait is over.

        `give_back` is called with the place of one who was served and cancelled in the same moment.
        """
        if len(self._line) >= self._max_length:
            return None
        waiter = _Waiter(wish, avoid)
        self._line.append(waiter)
        self.serve()  # those ahead may wait for what this one does not need
        try:
            await asyncio.wait({waiter.place}, timeout=self._max_wait_s)
        except asyncio.CancelledError:
            if waiter.place.done():
                give_back(waiter.place.result())
            raise
        finally:
            if not waiter.place.done():
                self._line.remove(waiter)
        return waiter.place.result() if waiter.place.done() else None

    def serve(self) -> None:
        """Give places to those who can have one, in their order.

        Someone whose wish nobody can grant now does not hold up those behind.
        """
        for waiter in tuple(self._line):
            upstream = self._take(waiter.wish, waiter.avoid)
            if upstream is not None:
                self._line.remove(waiter)
                waiter.place.set_result(upstream)
