"""`chatterbox top`: a cluster as it is now, every second."""

import asyncio
import contextlib
import os
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.live import Live

from chatterbox.errors import EngineStopped, InvalidRequest
from chatterbox.process.addresses import BALANCER
from chatterbox.process.signals import stop_requested
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import channel_to
from server.top.figures import History
from server.top.look import Look
from server.top.screen import View, json_line, screen
from server.top.source import Source

REFRESH_S = 1.0
PIPE_COLUMNS = 120


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON and end.")
    ] = False,
    balancer: Annotated[
        str,
        typer.Option(
            "--server",
            envvar="CHATTERBOX_BALANCER",
            help="Address of a balancer, or of a model server.",
        ),
    ] = BALANCER,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Show the servers behind a balancer and what they do, until q or Ctrl-C."""
    is_live = sys.stdout.isatty() and not once and not as_json
    access = Access(api_key=api_key, tls_ca=tls_ca)
    asyncio.run(_watch(balancer, access) if is_live else _print(balancer, access, as_json=as_json))


async def _print(address: str, access: Access, *, as_json: bool) -> None:
    """Two looks, a second apart, so that there are rates; counts are since the servers' start."""
    history = History(counts_from_start=True)
    async with channel_to(address, access) as channel:
        source = Source(channel, address)
        try:
            before = await source.look()
            await asyncio.sleep(REFRESH_S)
            now = await source.look()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise EngineStopped(f"nothing can be reached at {address}") from None
            raise
    history.add(before)
    history.add(now)
    view = View(address=address, look=now, history=history)
    if as_json:
        sys.stdout.write(json_line(view))
        return
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(screen(view, width=console.width))


async def _watch(address: str, access: Access) -> None:
    """Refresh the screen until told to stop, whatever becomes of the balancer."""
    history = History()
    look: Look | None = None
    console = Console()
    async with channel_to(address, access) as channel:
        source = Source(channel, address)
        with (
            stop_requested() as stop,
            _keys(stop),
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            while not stop.is_set():
                due_s = time.monotonic() + REFRESH_S
                trouble = ""
                try:
                    look = await source.look()
                    history.add(look)
                except grpc.aio.AioRpcError as error:
                    trouble = _trouble(address, error, look)
                except InvalidRequest as error:
                    trouble = error.message
                view = View(
                    address=address, look=look, history=history, trouble=trouble, is_live=True
                )
                live.update(screen(view, width=console.width), refresh=True)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due_s - time.monotonic()):
                        await stop.wait()


def _trouble(address: str, error: grpc.aio.AioRpcError, last: Look | None) -> str:
    unheard = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    if error.code() not in unheard:
        return f"{address} says: {error.details() or error.code().name}"
    if last is None:
        return f"nothing can be reached at {address}; trying again"
    age_s = time.monotonic() - last.at_s
    return f"{address} cannot be reached; what is shown is {age_s:.0f} s old"


@contextlib.contextmanager
def _keys(stop: asyncio.Event) -> Iterator[None]:
    """Let q set `stop` meanwhile; other keys do nothing and are not shown."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    loop = asyncio.get_running_loop()

    def read() -> None:
        pressed = os.read(keyboard, 64)
        if not pressed or b"q" in pressed.lower():
            stop.set()

    try:
        tty.setcbreak(keyboard)
        loop.add_reader(keyboard, read)
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
