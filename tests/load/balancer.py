"""What the balancer costs: throughput and added latency, as ratios to calling a backend directly.

    python tests/load/balancer.py [--seconds 5] [--json]

Three processes on the loopback: a source of chunks that needs no time of its own, the balancer, and
this client. "Unpaced" chunks leave as fast as they can; "paced" ones ten a second, as 24 kHz PCM16
in 4,800 bytes is heard. Direct and balanced runs alternate, for a machine is never equally busy
twice. Lag is from the source's clock to the client's: one machine, one clock.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from chatterbox.process.grpc_options import client_options, server_options

METHOD = "/load.Source/Stream"
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


async def measure(seconds: float) -> list[dict[str, Any]]:
    """One row of figures per number of streams."""
    balancer = Path(sys.executable).parent / "chatterbox-balancer"
    flags = ("--listen", "127.0.0.1:0", "--health-service", HEALTH_SERVICE)
    wide = ("--backend-streams", "1000", "--log-level", "warning")
    async with (
        started(sys.executable, __file__, "--source") as (address, _),
        started(balancer, *flags, *wide, "--backends", address) as (balanced, pid),
        grpc.aio.insecure_channel(address, options=client_options()) as straight,
        grpc.aio.insecure_channel(balanced, options=client_options()) as through,
    ):
        for channel in (straight, through):
            await throughput(channel, 4, 0.5)  # warm
        rows = []
        for streams in STREAMS:
            row: dict[str, Any] = {"streams": streams}
            speeds: dict[str, list[float]] = {"direct": [], "balanced": []}
            lags: dict[str, list[float]] = {"direct": [], "balanced": []}
            used_s = 0.0
            for _ in range(ROUNDS):
                for name, channel in (("direct", straight), ("balanced", through)):
                    speeds[name].append(await throughput(channel, streams, seconds / ROUNDS))
                for name, channel in (("direct", straight), ("balanced", through)):
                    before_s = cpu_s(pid)
                    lags[name] += await lag(channel, streams, seconds / ROUNDS)
                    used_s += (cpu_s(pid) - before_s) if name == "balanced" else 0.0
            for name in ("direct", "balanced"):
                row[f"{name}_chunks_per_s"] = round(statistics.median(speeds[name]))
                ordered = sorted(lags[name])
                row[f"{name}_lag_p50_ms"] = round(1e3 * ordered[len(ordered) // 2], 2)
                row[f"{name}_lag_p99_ms"] = round(1e3 * ordered[len(ordered) * 99 // 100], 2)
            row["throughput_ratio"] = round(
                row["balanced_chunks_per_s"] / row["direct_chunks_per_s"], 2
            )
            row["added_lag_p50_ms"] = round(
                row["balanced_lag_p50_ms"] - row["direct_lag_p50_ms"], 2
            )
            row["cpu_us_per_chunk"] = round(1e6 * used_s / len(lags["balanced"]))
            rows.append(row)
        first = {name: [] for name in ("direct", "balanced")}  # type: ignore[var-annotated]
        for _ in range(ROUNDS):
            first["direct"].append(await first_chunk(straight))
            first["balanced"].append(await first_chunk(through))
        rows.append(
            {f"{name}_first_chunk_ms": round(1e3 * min(times), 2) for name, times in first.items()}
        )
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the balancer costs.")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument("--source", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.source:
        asyncio.run(source())
        return
    rows = asyncio.run(measure(chosen.seconds))
    if chosen.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in row.items()) + "\n")


if __name__ == "__main__":
    main()
