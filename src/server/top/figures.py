"""Figures: what happened between looks. Pure, but for the History that keeps them."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.top.look import Look, ServerLook, Totals

RATE_S = 5.0  # over which rates are taken
RECENT_S = 60.0  # over which rare things are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a server did lately, or several together. A rate is None until there were two looks."""

    audio_rate: float | None  # seconds of sound a second
    call_rate: float | None
    recent: Totals  # of the last minute, or since its start


class History:
    """The looks of the last minute, oldest first."""

    def __init__(self, *, counts_from_start: bool = False) -> None:
        """`counts_from_start`: what is counted is so from the servers' start on, and not lately."""
        self._counts_from_start = counts_from_start
        self._looks: deque[tuple[float, dict[str, Totals]]] = deque()

    def add(self, look: Look) -> None:
        """The newest look."""
        told = {each.address: each.totals for each in look.servers if each.totals is not None}
        self._looks.append((look.at_s, told))
        while look.at_s - self._looks[0][0] > RECENT_S:
            self._looks.popleft()

    def figures(self, address: str) -> Figures:
        """Of the server at this address, up to the newest look."""
        told = [(at_s, totals[address]) for at_s, totals in self._looks if address in totals]
        if not told:
            return Figures(audio_rate=None, call_rate=None, recent=Totals())
        now_s, now = told[-1]
        began_s, began = next(pair for pair in told if now_s - pair[0] <= RATE_S)
        recent = now if self._counts_from_start else since(told[0][1], now)
        if now_s <= began_s:
            return Figures(audio_rate=None, call_rate=None, recent=recent)
        done = since(began, now)
        return Figures(
            audio_rate=done.audio_s / (now_s - began_s),
            call_rate=done.calls / (now_s - began_s),
            recent=recent,
        )


def since(before: Totals, now: Totals) -> Totals:
    """What was done between two looks at a server; where it was started anew, all it has done."""
    if now.calls < before.calls or now.audio_s < before.audio_s or now.bounds_s != before.bounds_s:
        return now
    return Totals(
        calls=now.calls - before.calls,
        failures=now.failures - before.failures,
        audio_s=now.audio_s - before.audio_s,
        underruns=now.underruns - before.underruns,
        bounds_s=now.bounds_s,
        first_audio=tuple(
            after - earlier
            for earlier, after in zip(before.first_audio, now.first_audio, strict=True)
        ),
    )


def together(figures: Iterable[Figures]) -> Figures:
    """The sum over servers; times only of those that count them in the same buckets."""
    listed = list(figures)
    recent = [each.recent for each in listed]
    bounds_s = next((each.bounds_s for each in recent if each.bounds_s), ())
    alike = [each.first_audio for each in recent if each.bounds_s == bounds_s]
    return Figures(
        audio_rate=_sum(each.audio_rate for each in listed),
        call_rate=_sum(each.call_rate for each in listed),
        recent=Totals(
            calls=sum(each.calls for each in recent),
            failures=sum(each.failures for each in recent),
            audio_s=sum(each.audio_s for each in recent),
            underruns=sum(each.underruns for each in recent),
            bounds_s=bounds_s,
            first_audio=tuple(map(sum, zip(*alike, strict=True))) if bounds_s else (),
        ),
    )


def quantile_s(totals: Totals, share: float) -> float | None:
    """The time to first audio that this share of the calls kept within; None without any call.

    Within a bucket calls are taken to be spread evenly, as Prometheus' histogram_quantile does; of
    what is above every bound, only the highest bound is known.
    """
    count = sum(totals.first_audio)
    if count == 0:
        return None
    wanted = share * count
    below = 0
    for low_s, high_s, inside in zip(
        (0.0, *totals.bounds_s), totals.bounds_s, totals.first_audio, strict=False
    ):
        if inside and below + inside >= wanted:
            return low_s + (high_s - low_s) * (wanted - below) / inside
        below += inside
    return totals.bounds_s[-1]


def serving(servers: Sequence[ServerLook]) -> int:
    """How many are offered calls."""
    return sum(server.state == "serving" for server in servers)


def _sum(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
