"""The screen fits its terminal."""

import io

import pytest
from rich.console import Console

from server.top.figures import History
from server.top.look import BalancerLook, Look, ServerLook, Totals
from server.top.screen import View, screen

STATES = ("serving", "not serving", "unreachable", "drained", "ejected")


def view(*, trouble: str = "", is_balanced: bool = True) -> View:
    servers = tuple(
        ServerLook(
            address=f"10.20.130.{40 + number}:50051",
            state=state,
            streams=12,
            max_streams=32,
            real_time_streams=24,
            waiting=3,
            queued_s=143.0,
            voices=("ada", "ben"),
            models=("tiny",),
            version="0.1.0",
            totals=Totals(
                calls=1000, audio_s=5000.0, underruns=12, bounds_s=(1.0,), first_audio=(900, 100)
            ),
        )
        for number, state in enumerate(STATES)
    )
    balancer = BalancerLook(
        active=60, waiting=4, calls=123_456, failures=12, refused=9, retries=3, resumed=2, lost=1
    )
    look = Look(servers=servers, balancer=balancer if is_balanced else None)
    history = History(counts_from_start=True)
    history.add(look)
    return View(address="127.0.0.1:50050", look=look, history=history, trouble=trouble)


def shown(view: View, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(screen(view, width=width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits_and_nothing_is_cut(width: int) -> None:
    lines = shown(view(), width)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    heading = next(line for line in lines if line.startswith("server"))
    assert {"streams", "queued", "audio/s", "calls/s", "p50", "p95", "gaps", "errors"} <= set(
        heading.split()
    )
    rows = [line.split() for line in lines if line.startswith("10.20.130.")]
    assert len(rows) == len(STATES)
    assert "12/32" in rows[0]
    assert "143" in rows[0]
    assert lines[0].endswith(tuple("0123456789"))  # the time of day
    assert "1 of 5 servers serving" in lines[0]


def test_a_wide_one_tells_more() -> None:
    wide, narrow = ("\n".join(shown(view(), width)) for width in (120, 80))
    for heading in ("real time", "waiting", "voices", "unreachable"):
        assert heading in wide
    assert "real time" not in narrow
    assert "voices" not in narrow


def test_trouble_stands_above_what_was_last_seen() -> None:
    lines = shown(view(trouble="127.0.0.1:50050 cannot be reached"), 80)
    assert lines[1] == "127.0.0.1:50050 cannot be reached"
    assert any(line.startswith("10.20.130.40") for line in lines)


def test_trouble_may_be_all_there_is() -> None:
    nothing = View(address="a:1", look=None, history=History(), trouble="nothing can be reached")
    assert shown(nothing, 80)[1] == "nothing can be reached"


def test_a_server_by_itself_is_told_to_be_one() -> None:
    lines = shown(view(is_balanced=False), 80)
    assert "a model server by itself" in "\n".join(lines)
