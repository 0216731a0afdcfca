"""`chatterbox up`: the whole stack on this machine."""

import asyncio
import sys
from collections.abc import Sequence

from chatterbox.process.logs import configure_logs
from chatterbox.process.signals import stop_requested
from server.stack.app import RunningStack, standing
from server.stack.lines import as_json, as_text
from server.stack.settings import StackSettings, parse_settings

NO_ENVOY = """\
There is no Envoy here, as its wheel does not exist for this machine, so there is neither REST nor
gRPC-Web. Install Envoy and put it on PATH for them; gRPC is served without."""


def up(arguments: Sequence[str], *, program: str) -> int:
    """Run the stack until a signal; the exit code."""
    settings = parse_settings(arguments, program=program)
    configure_logs(level="info")
    asyncio.run(_up(settings))
    return 0


async def _up(settings: StackSettings) -> None:
    count = settings.servers
    sys.stdout.write(
        f"Starting {count} model server{'s' * (count > 1)}, a balancer and the edge ...\n"
    )
    sys.stdout.flush()
    with stop_requested() as stop:
        async with standing(settings, write=_write, stop=stop) as stack:
            if not stop.is_set():
                _announce(settings, stack)
                await _until(stop, stack)
            sys.stdout.write("Stopping; what still speaks may finish ...\n")
            sys.stdout.flush()


async def _until(stop: asyncio.Event, stack: RunningStack) -> None:
    """Wait for `stop`; raises when a process is given up before."""
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(stack.failure())
    await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if failing.done():
        failing.result()
    failing.cancel()


def _write(process: str, line: str) -> None:
    shape = as_text if sys.stderr.isatty() else as_json
    sys.stderr.write(shape(process, line))


def _announce(settings: StackSettings, stack: RunningStack) -> None:
    plan = stack.plan
    lines = []
    if plan.edge is None:
        lines += [NO_ENVOY, f"Chatterbox is up at {plan.balancer} (gRPC)"]
    else:
        lines += [
            f"Chatterbox is up at {_url(settings, plan.edge)} (REST, gRPC, gRPC-Web; docs at /docs)",
            f"The balancer is at {plan.balancer} (gRPC), the model servers at "
            + ", ".join(plan.servers),
        ]
    moved = [
        f"{wanted} was taken: {got} stands in for it"
        for wanted, got in (
            (settings.listen, plan.edge),
            (settings.balancer_listen, plan.balancer),
            (settings.server_listen, plan.servers[0]),
        )
        if got is not None and got != wanted and not wanted.endswith(":0")
    ]
    lines += [*moved, "Try, in another terminal:", *_examples(settings, stack), "Stop with Ctrl-C"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _url(settings: StackSettings, edge: str) -> str:
    scheme = "http" if settings.certificates is None else "https"
    return f"{scheme}://{edge}"


def _examples(settings: StackSettings, stack: RunningStack) -> list[str]:
    lines, curl = [], "  curl"
    if settings.keys is not None:
        lines.append(
            f"  export CHATTERBOX_API_KEY=$(chatterbox keys create me --file {settings.keys})"
        )
    if settings.asks:
        curl += ' -H "authorization: Bearer $CHATTERBOX_API_KEY"'
    if settings.certificates is not None:
        authority = settings.certificates / "ca.pem"
        lines.append(f"  export CHATTERBOX_TLS_CA={authority}")
        curl += f" --cacert {authority}"
    lines.append('  make say TEXT="Hello there." OUT=hello.wav')
    edge = stack.plan.edge
    if edge is not None:
        url = f"{_url(settings, edge)}/v1/audio/speech"
        lines.append(f'{curl} {url} -d \'{{"input": "Hello there."}}\' -o hello.mp3')
    return lines
