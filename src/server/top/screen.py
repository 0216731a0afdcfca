"""The screen of `chatterbox top`, and the same as one line of JSON."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from server.top.figures import Figures, History, quantile_s, serving, together
from server.top.look import BalancerLook, Look, ServerLook

WIDE = 120  # columns from which on there is room for everything
COLOURS = {"serving": "green", "drained": "yellow", "not serving": "yellow"}  # else red
NARROW_STATES = {"not serving": "not up", "unreachable": "away"}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What there is to show. `trouble` says why `look` is not of this moment.

    What is counted is so over the last minute when `is_live`, else from the servers' start on.
    """

    address: str
    look: Look | None
    history: History
    trouble: str = ""
    is_live: bool = False


def screen(view: View, *, width: int) -> RenderableType:
    """All of it, for a terminal of so many columns."""
    parts: list[RenderableType] = [_heading(view)]
    if view.trouble:
        parts.append(Text(view.trouble, style="bold red"))
    if view.look is not None:
        if view.look.balancer is None:
            parts.append(Text("a model server by itself: nothing balances it", style="dim"))
        else:
            parts.append(_balancer(view.look.balancer))
        table = _table(view.look, view.history, is_wide=width >= WIDE)
        parts += [Text(), table, Text(), _legend(is_live=view.is_live)]
    return Group(*parts)


def json_line(view: View) -> str:
    """The same figures for programs, in one line."""
    assert view.look is not None, "without a look there is nothing to tell"
    listed = [(server, view.history.figures(server.address)) for server in view.look.servers]
    balancer = view.look.balancer
    told = {
        "address": view.address,
        "balancer": None if balancer is None else asdict(balancer),
        "servers": [_plain(server) | _plain_figures(figures) for server, figures in listed],
        "total": _plain_figures(together(figures for _, figures in listed)),
    }
    return json.dumps(told) + "\n"


def _heading(view: View) -> Text:
    kind = "server" if view.look is not None and view.look.balancer is None else "balancer"
    parts = [f"{kind} {view.address}"]
    if view.look is not None and view.look.balancer is not None:
        count = len(view.look.servers)
        parts.append(f"{serving(view.look.servers)} of {count} server{'s' * (count != 1)} serving")
    parts.append(time.strftime("%H:%M:%S"))
    return Text.assemble(("chatterbox top", "bold"), "  ", "  ".join(parts))


def _balancer(found: BalancerLook) -> Text:
    return Text(
        f"calls now: {found.active} active, {found.waiting} of them waiting\n"
        f"so far: {found.calls} ended, {found.failures} failed, {found.refused} refused, "
        f"{found.retries} retried, {found.resumed} resumed, {found.lost} lost"
    )


def _table(look: Look, history: History, *, is_wide: bool) -> Table:
    columns = _WIDE_COLUMNS if is_wide else _COLUMNS
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0) if is_wide else (0, 1, 0, 0),
        header_style="bold",
        show_footer=True,
    )
    figures = {server.address: history.figures(server.address) for server in look.servers}
    total = together(figures.values())
    for column in columns:
        table.add_column(
            column.heading,
            column.total(look.servers, total),
            justify="left" if column.is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            footer_style="bold",
        )
    for server in look.servers:
        table.add_row(*(column.cell(server, figures[server.address]) for column in columns))
    return table


def _legend(*, is_live: bool) -> Text:
    period = "of the last minute; q ends this" if is_live else "since the servers' start"
    lines = (
        "audio/s: seconds of sound made a second; p50, p95: ms to the first audio",
        f"p50, p95, gaps, errors: {period}",
    )
    return Text("\n".join(lines), style="dim")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    heading: str
    cell: Callable[[ServerLook, Figures], str | Text]
    total: Callable[[tuple[ServerLook, ...], Figures], str]
    is_text: bool = False


def _state(server: ServerLook, *, is_wide: bool) -> Text:
    shown = server.state if is_wide else NARROW_STATES.get(server.state, server.state)
    return Text(shown, style=COLOURS.get(server.state, "red"))


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _milliseconds(figures: Figures, share: float) -> str:
    value_s = quantile_s(figures.recent, share)
    return "-" if value_s is None else f"{value_s * 1000:.0f}"


def _nothing(_: tuple[ServerLook, ...], __: Figures) -> str:
    return ""


_SERVER = _Column(
    heading="server",
    cell=lambda server, _: server.address,
    total=lambda servers, _: "all" if servers else "",
    is_text=True,
)
_STREAMS = _Column(
    heading="streams",
    cell=lambda server, _: f"{server.streams}/{server.max_streams}",
    total=lambda servers, _: (
        f"{sum(each.streams for each in servers)}/{sum(each.max_streams for each in servers)}"
    ),
)
_QUEUED = _Column(
    heading="queued",
    cell=lambda server, _: f"{server.queued_s:.0f} s",
    total=lambda servers, _: f"{sum(each.queued_s for each in servers):.0f} s",
)
_AUDIO = _Column(
    heading="audio/s",
    cell=lambda _, figures: _number(figures.audio_rate),
    total=lambda _, figures: _number(figures.audio_rate),
)
_CALLS = _Column(
    heading="calls/s",
    cell=lambda _, figures: _number(figures.call_rate),
    total=lambda _, figures: _number(figures.call_rate),
)
_P50 = _Column(
    heading="p50",
    cell=lambda _, figures: _milliseconds(figures, 0.5),
    total=lambda _, figures: _milliseconds(figures, 0.5),
)
_P95 = _Column(
    heading="p95",
    cell=lambda _, figures: _milliseconds(figures, 0.95),
    total=lambda _, figures: _milliseconds(figures, 0.95),
)
_GAPS = _Column(
    heading="gaps",
    cell=lambda _, figures: str(figures.recent.underruns),
    total=lambda _, figures: str(figures.recent.underruns),
)
_ERRORS = _Column(
    heading="errors",
    cell=lambda _, figures: str(figures.recent.failures),
    total=lambda _, figures: str(figures.recent.failures),
)
_COLUMNS = (
    _SERVER,
    _Column(
        heading="state",
        cell=lambda server, _: _state(server, is_wide=False),
        total=_nothing,
        is_text=True,
    ),
    *(_STREAMS, _QUEUED, _AUDIO, _CALLS, _P50, _P95, _GAPS, _ERRORS),
)
_WIDE_COLUMNS = (
    _SERVER,
    _Column(
        heading="state",
        cell=lambda server, _: _state(server, is_wide=True),
        total=_nothing,
        is_text=True,
    ),
    _STREAMS,
    _Column(
        heading="real time",
        cell=lambda server, _: str(server.real_time_streams or "?"),
        total=lambda servers, _: str(sum(each.real_time_streams for each in servers) or "?"),
    ),
    _Column(
        heading="waiting",
        cell=lambda server, _: str(server.waiting),
        total=lambda servers, _: str(sum(each.waiting for each in servers)),
    ),
    *(_QUEUED, _AUDIO, _CALLS, _P50, _P95, _GAPS, _ERRORS),
    _Column(
        heading="voices",
        cell=lambda server, _: str(len(server.voices)),
        total=lambda servers, _: str(len({name for each in servers for name in each.voices})),
    ),
)


def _plain(server: ServerLook) -> dict[str, Any]:
    fields = asdict(server)
    fields.pop("totals")
    return fields


def _plain_figures(figures: Figures) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "audio_s_per_s": rounded(figures.audio_rate),
        "calls_per_s": rounded(figures.call_rate),
        "time_to_first_audio_p50_s": rounded(quantile_s(figures.recent, 0.5)),
        "time_to_first_audio_p95_s": rounded(quantile_s(figures.recent, 0.95)),
        "calls": figures.recent.calls,
        "audio_s": rounded(figures.recent.audio_s),
        "underruns": figures.recent.underruns,
        "errors": figures.recent.failures,
    }
