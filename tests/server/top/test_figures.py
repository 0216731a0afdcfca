"""What happened between two looks."""

import pytest

from server.top.figures import RECENT_S, History, quantile_s, since, together
from server.top.look import Look, ServerLook, Totals

BOUNDS_S = (0.1, 0.2, 0.5)


def server(totals: Totals | None, address: str = "a:1", state: str = "serving") -> ServerLook:
    return ServerLook(
        address=address,
        state=state,
        streams=0,
        max_streams=8,
        real_time_streams=0,
        waiting=0,
        queued_s=0.0,
        voices=(),
        models=(),
        version="",
        totals=totals,
    )


def look(at_s: float, *servers: ServerLook) -> Look:
    return Look(servers=servers, balancer=None, at_s=at_s)


def totals(calls: int, audio_s: float, *first_audio: int, underruns: int = 0) -> Totals:
    return Totals(
        calls=calls,
        audio_s=audio_s,
        underruns=underruns,
        bounds_s=BOUNDS_S,
        first_audio=first_audio or (0, 0, 0, 0),
    )


def test_rates_are_of_the_last_seconds_and_counts_of_the_last_minute() -> None:
    history = History()
    for second in range(100):
        rate = 1.0 if second < 90 else 3.0
        audio_s = min(second, 90) + max(0, second - 90) * rate
        history.add(look(second, server(totals(second, audio_s, second, 0, 0, 0))))
    figures = history.figures("a:1")
    assert figures.audio_rate == pytest.approx(3.0)
    assert figures.call_rate == pytest.approx(1.0)
    assert figures.recent.calls == RECENT_S
    assert figures.recent.first_audio == (RECENT_S, 0, 0, 0)


def test_one_look_has_no_rates_and_nothing_recent() -> None:
    history = History()
    history.add(look(0, server(totals(5, 9.0))))
    figures = history.figures("a:1")
    assert (figures.audio_rate, figures.call_rate, figures.recent.calls) == (None, None, 0)


def test_counts_may_be_those_since_the_start() -> None:
    history = History(counts_from_start=True)
    history.add(look(0, server(totals(5, 9.0))))
    history.add(look(1, server(totals(6, 11.0))))
    figures = history.figures("a:1")
    assert (figures.audio_rate, figures.recent.calls) == (2.0, 6)


def test_a_server_started_anew_begins_anew() -> None:
    assert since(totals(100, 50.0), totals(2, 1.0)) == totals(2, 1.0)
    history = History()
    history.add(look(0, server(totals(100, 50.0))))
    history.add(look(1, server(totals(2, 1.0))))
    assert history.figures("a:1").call_rate == 2.0


def test_a_server_that_tells_nothing_has_no_figures() -> None:
    history = History()
    history.add(look(0, server(None)))
    assert history.figures("a:1").audio_rate is None
    assert history.figures("nobody:1").recent == Totals()


@pytest.mark.parametrize(
    ("counts", "share", "wanted"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((10, 10, 0, 0), 0.5, 0.1),
        ((0, 10, 10, 0), 0.75, 0.35),
        ((0, 0, 0, 3), 0.5, 0.5),  # above every bound: only the highest is known
        ((1, 0, 0, 1), 0.95, 0.5),
        ((0, 4, 0, 0), 1.0, 0.2),
    ],
)
def test_a_quantile_lies_within_its_bucket(
    counts: tuple[int, ...], share: float, wanted: float | None
) -> None:
    found = quantile_s(totals(0, 0.0, *counts), share)
    assert found == (wanted if wanted is None else pytest.approx(wanted))


def test_all_servers_are_their_sum() -> None:
    history = History()
    for second in (0, 1):
        history.add(
            look(
                second,
                server(totals(second, second * 1.0, second, 0, 0, 0)),
                server(totals(second, second * 2.0, 0, second, 0, 0, underruns=second), "b:1"),
                server(None, "c:1"),
            )
        )
    figures = together(history.figures(address) for address in ("a:1", "b:1", "c:1"))
    assert (figures.audio_rate, figures.call_rate) == (3.0, 2.0)
    assert figures.recent.first_audio == (1, 1, 0, 0)
    assert figures.recent.underruns == 1
