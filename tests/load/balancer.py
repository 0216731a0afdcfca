"""What balancer and edge cost: throughput and added latency, as ratios to calling a backend directly.

    python tests/load/balancer.py [--seconds 5] [--json]

Four processes on the loopback: a source of chunks that needs no time of its own, the balancer, Envoy
in front of it if there is one, and this client. "Unpaced" chunks leave as fast as they can; "paced"
ones ten a second, as 24 kHz PCM16 in 4,800 bytes is heard. The ways alternate, for a machine is never
equally busy twice, and a ratio is the median of those of its rounds. Lag is from the source's clock to
the client's: one machine, one clock.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from chatterbox.process.grpc_options import client_options, server_options
from server.openapi.contract import CONTRACT
from server.stack.app import envoy_path
from server.stack.edge import EdgeConfig
from server.stack.envoy import write_envoy_config
from server.stack.pages import write_pages
from server.stack.ports import Ports
from server.stack.readiness import until_serving

METHOD = "/chatterbox.v1.LoadSource/Stream"  # a name that Envoy routes
CHUNK_BYTES = 4_800
CHUNKS_PER_SECOND = 10
STREAMS = (1, 10, 100)
ROUNDS = 3
HEALTH_SERVICE = "load.Source"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


async def source() -> None:
    """Serve chunks, each beginning with the time it left."""

    async def stream(_: Any, context: Any) -> None:
        count, paced = (int(word) for word in (await context.read()).split())
        due_s = time.monotonic()
        for _number in range(count):
            if paced:
                due_s += 1 / CHUNKS_PER_SECOND
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await context.write(time.monotonic().hex().encode().ljust(CHUNK_BYTES))

    class Source(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(stream)

    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers([Source()])
    health = health_aio.HealthServicer()
    await health.set(HEALTH_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"listening on 127.0.0.1:{port} \n")
    sys.stdout.flush()
    await server.wait_for_termination()


@asynccontextmanager
async def started(*command: str | Path) -> AsyncIterator[tuple[str, int]]:
    """A process that says where it listens: that address, and its id."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        assert process.stdout is not None
        match = re.search(r"listening on (\S+)", (await process.stdout.readline()).decode())
        assert match is not None
        yield match[1], process.pid
    finally:
        process.kill()
        await process.communicate()


async def heard(channel: grpc.aio.Channel, count: int, *, paced: bool) -> tuple[float, list[float]]:
    """Seconds to the first chunk, and every chunk's lag, of one stream."""
    began_s = time.monotonic()
    first_s = 0.0
    lags_s = []
    call: Any = channel.stream_stream(METHOD)(iter([b"%d %d" % (count, paced)]))
    async for chunk in call:
        now_s = time.monotonic()
        first_s = first_s or now_s - began_s
        lags_s.append(now_s - float.fromhex(chunk.rstrip().decode()))
    assert len(lags_s) == count
    return first_s, lags_s


async def throughput(channel: grpc.aio.Channel, streams: int, seconds: float) -> float:
    """Chunks a second over this many streams at once."""
    count = 200
    while True:  # more chunks until the run is long enough to mean something
        began_s = time.monotonic()
        await asyncio.gather(*(heard(channel, count, paced=False) for _ in range(streams)))
        took_s = time.monotonic() - began_s
        if took_s > seconds / 2:
            return streams * count / took_s
        count = int(count * min(10, 0.8 * seconds / took_s)) + 1


async def lag(channel: grpc.aio.Channel, streams: int, seconds: float) -> list[float]:
    """The lag of every chunk of so many streams in real time, begun one after the other."""
    count = max(2, int(seconds * CHUNKS_PER_SECOND))

    async def one(number: int) -> list[float]:
        await asyncio.sleep(number / streams / CHUNKS_PER_SECOND)
        return (await heard(channel, count, paced=True))[1]

    return [
        each for lags in await asyncio.gather(*(one(n) for n in range(streams))) for each in lags
    ]


async def first_chunk(channel: grpc.aio.Channel) -> float:
    """Median seconds from the call to its first chunk."""
    return statistics.median([(await heard(channel, 1, paced=False))[0] for _ in range(100)])


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the source, and the processes on it that are not the source."""

    name: str
    channel: grpc.aio.Channel
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Seconds of processor time that they have used."""
        return sum(map(cpu_s, self.pids))


@asynccontextmanager
async def edge(balancer: str, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Envoy in front of a balancer as `chatterbox up` starts it: its address, and its id."""
    ports = Ports()
    listen, admin = (ports.take("127.0.0.1:0", is_fixed=False) for _ in range(2))
    write_pages(folder, has_admin_api=False)
    config = EdgeConfig(
        listen=listen, balancers=(balancer,), contract=CONTRACT, pages=folder, admin=admin
    )
    write_envoy_config(config, folder / "envoy.json")
    flags = ("--concurrency", "1", "--disable-hot-restart", "-l", "error")
    process = await asyncio.create_subprocess_exec(
        str(envoy_path()), "-c", folder / "envoy.json", *flags, stdout=DEVNULL
    )
    try:
        await until_serving(listen)
        yield listen, process.pid
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def ways() -> AsyncIterator[list[Way]]:
    """Directly, through the balancer, and through Envoy and the balancer where there is an Envoy."""
    program = Path(sys.executable).parent / "chatterbox-balancer"
    flags = ("--listen", "127.0.0.1:0", "--health-service", HEALTH_SERVICE)
    wide = ("--backend-streams", "1000", "--log-level", "warning")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address, _ = await stack.enter_async_context(started(sys.executable, __file__, "--source"))
        balancer, pid = await stack.enter_async_context(
            started(program, *flags, *wide, "--backends", address)
        )
        listed: list[tuple[str, str, tuple[int, ...]]] = [
            ("direct", address, ()),
            ("balancer", balancer, (pid,)),
        ]
        if envoy_path() is not None:
            listen, envoy = await stack.enter_async_context(edge(balancer, folder))
            listed.append(("edge", listen, (pid, envoy)))
        found = []
        for name, where, pids in listed:
            channel = grpc.aio.insecure_channel(where, options=client_options())
            found.append(Way(name, await stack.enter_async_context(channel), pids))
            await throughput(found[-1].channel, 4, 0.5)  # warm
        yield found


async def row_of(ways: list[Way], streams: int, seconds: float) -> dict[str, Any]:
    """The figures of so many streams at once."""
    speeds: dict[str, list[float]] = {way.name: [] for way in ways}
    lags: dict[str, list[list[float]]] = {way.name: [] for way in ways}
    used_s = dict.fromkeys(speeds, 0.0)
    for _ in range(ROUNDS):
        for way in ways:
            speeds[way.name].append(await throughput(way.channel, streams, seconds / ROUNDS))
        for way in ways:
            before_s = way.cpu_s()
            lags[way.name].append(sorted(await lag(way.channel, streams, seconds / ROUNDS)))
            used_s[way.name] += way.cpu_s() - before_s
    row: dict[str, Any] = {"streams": streams}
    for way in ways:
        every = sorted(each for round_ in lags[way.name] for each in round_)
        row[f"{way.name}_chunks_per_s"] = round(statistics.median(speeds[way.name]))
        row[f"{way.name}_lag_p50_ms"] = round(1e3 * every[len(every) // 2], 2)
        row[f"{way.name}_lag_p99_ms"] = round(1e3 * every[len(every) * 99 // 100], 2)
    for way in ways[1:]:
        ratios = [
            ours / theirs for ours, theirs in zip(speeds[way.name], speeds["direct"], strict=True)
        ]
        added = [
            ours[len(ours) // 2] - theirs[len(theirs) // 2]
            for ours, theirs in zip(lags[way.name], lags["direct"], strict=True)
        ]
        chunks = sum(map(len, lags[way.name]))
        row[f"{way.name}_throughput_ratio"] = round(statistics.median(ratios), 2)
        row[f"{way.name}_added_lag_p50_ms"] = round(1e3 * statistics.median(added), 2)
        row[f"{way.name}_cpu_us_per_chunk"] = round(1e6 * used_s[way.name] / chunks)
    return row


async def measure(seconds: float, *, every_streams: tuple[int, ...]) -> list[dict[str, Any]]:
    """One row of figures per number of streams, and one of the first chunk."""
    load_before = os.getloadavg()[0]
    async with ways() as found:
        rows = [await row_of(found, streams, seconds) for streams in every_streams]
        first: dict[str, list[float]] = {way.name: [] for way in found}
        for _ in range(ROUNDS):
            for way in found:
                first[way.name].append(await first_chunk(way.channel))
    rows.append(
        {f"{name}_first_chunk_ms": round(1e3 * min(times), 2) for name, times in first.items()}
    )
    rows.append({"load_average_before": round(load_before, 1), "cores": os.cpu_count()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what balancer and edge cost.")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="at once")
    parser.add_argument("--source", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.source:
        asyncio.run(source())
        return
    rows = asyncio.run(measure(chosen.seconds, every_streams=tuple(chosen.streams)))
    if chosen.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")


if __name__ == "__main__":
    main()
