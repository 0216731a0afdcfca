"""Streams of speech while their servers are killed: every one must end whole, and as if undisturbed.

    python tests/load/chaos.py [--engine tone|chatterbox] [--streams 50] [--servers 3] [--json]

Starts model servers, a balancer before them, and clients that hear. First everybody speaks in
peace; then all speak the same again at once while a server is killed (`kill -9`) every few seconds
and started anew. Half of the streams are sent their text at once, half piece by piece. Kills come
from a seed. Exits with 1 if a stream failed or is not what it was in peace.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from chatterbox.playback import PlaybackClock
from chatterbox.process.grpc_options import client_options
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

SCRIPTS = Path(sys.executable).parent
RATE_HZ = 24_000
SENTENCES = (
    "The old lighthouse keeper counted the ships every evening before the fog came in. ",
    "Nobody in the village believed that the bridge would last another winter. ",
    "She put the letter back into the drawer, and said nothing about it for years. ",
    "A dog barked twice, then everything was quiet again. ",
    "If you turn left at the mill, you will see the station from there. ",
)
PIECE_CHARACTERS = 17  # cut anywhere, as a language model's tokens are
NEAR = 0.01  # of full scale, between two renderings of the same tokens on differently busy machines


@dataclass
class Story:
    """What one stream says."""

    text: str
    seed: int
    is_live: bool

    @classmethod
    def of(cls, number: int, sentences: int) -> "Story":
        rng = random.Random(number)
        text = "".join(rng.choice(SENTENCES) for _ in range(sentences))
        return cls(text=text, seed=rng.getrandbits(32), is_live=number % 2 == 1)


@dataclass
class Heard:
    """What its listener had of it."""

    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    error: str = ""
    underruns: int = 0
    longest_gap_s: float = 0.0


class Server:
    """A model server that is killed and started again, always on one port."""

    def __init__(self, flags: list[str]) -> None:
        self._flags = flags
        self.port = 0
        self.process: Process | None = None

    async def start(self) -> None:
        """Return when it listens; it serves soon after."""
        listen = f"127.0.0.1:{self.port}"
        self.process = await asyncio.create_subprocess_exec(
            SCRIPTS / "chatterbox-server", "--listen", listen, *self._flags,
            stdout=PIPE, stderr=DEVNULL, env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )  # fmt: skip
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        found = re.search(r"listening on \S+:(\d+)", line)
        assert found is not None, f"the server said {line!r}"
        self.port = int(found[1])

    async def kill(self) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):  # it has ended by itself
            self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()


@asynccontextmanager
async def cluster(arguments: argparse.Namespace) -> AsyncIterator[tuple[list[Server], str, int]]:
    """Servers, the balancer's address and the port of its metrics."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        key = folder / "key"
        key.write_text("chaos needs a key that all of them share")
        flags = ["--engine", arguments.engine, "--resume-key-file", str(key), "--threads", "1"]
        flags += ["--max-utilisation", "0", "--max-wait-s", "3600", "--max-waiting", "100"]
        flags += ["--max-streams", "100"]
        servers = [Server(flags) for _ in range(arguments.servers)]
        for server in servers:
            await server.start()
            stack.push_async_callback(server.kill)
        addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        metrics_port = _free_port()
        balancer = await asyncio.create_subprocess_exec(
            SCRIPTS / "chatterbox-balancer", "--listen", "127.0.0.1:0", "--backends", addresses,
            "--metrics-port", str(metrics_port), "--backend-streams", "100", stdout=PIPE, stderr=PIPE,
            env={**os.environ, "GRPC_VERBOSITY": "NONE", "CHATTERBOX_BALANCER_LOG_FORMAT": "json"},
        )  # fmt: skip
        stack.callback(balancer.kill)
        assert balancer.stdout is not None
        line = (await balancer.stdout.readline()).decode()
        found = re.search(r"listening on (\S+)", line)
        assert found is not None, f"the balancer said {line!r}"
        drain = asyncio.create_task(_read_away(balancer))
        stack.callback(drain.cancel)
        yield servers, found[1], metrics_port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _read_away(process: Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass


async def listen(channel: grpc.aio.Channel, story: Story, pace: float) -> Heard:
    """Hear a story, `pace` times as fast as it sounds at most; 0 is as fast as it comes."""
    heard, clock, pieces = Heard(), PlaybackClock(), []
    stub: Any = TextToSpeechServiceStub(channel)
    began_s, count = time.monotonic(), 0
    try:
        async for answer in _asked(stub, story):
            if not answer.HasField("audio"):
                continue
            now_s = time.monotonic()
            samples = np.frombuffer(answer.audio.audio_content, "<i2")
            pieces.append(samples)
            count += len(samples)
            late_s = clock.delivered(len(samples) / RATE_HZ, now_s=now_s, owed_since_s=began_s)
            heard.longest_gap_s = max(heard.longest_gap_s, late_s)
            if pace:
                await asyncio.sleep(max(0.0, count / RATE_HZ / pace - (now_s - began_s)))
    except grpc.aio.AioRpcError as error:
        heard.error = f"{error.code().name}: {error.details()}"
    heard.samples = np.concatenate(pieces) if pieces else heard.samples
    heard.underruns = clock.underrun_count
    return heard


async def _asked(stub: Any, story: Story) -> AsyncIterator[Any]:
    options = pb.SynthesisOptions(seed=story.seed)
    if not story.is_live:
        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=story.text), options=options)
        async for answer in stub.Synthesize(request):
            yield answer
        return

    async def requests() -> AsyncIterator[pb.StreamingSynthesizeRequest]:
        config = pb.StreamingSynthesizeConfig(options=options)
        config.max_buffer_delay.FromSeconds(5)  # cut at sentences only, however slow the machine
        yield pb.StreamingSynthesizeRequest(streaming_config=config)
        for start in range(0, len(story.text), PIECE_CHARACTERS):
            piece = story.text[start : start + PIECE_CHARACTERS]
            yield pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=piece))
            await asyncio.sleep(0.05)

    async for answer in stub.StreamingSynthesize(requests()):
        yield answer


class Torment:
    """Kills one server after the other, each when the one before is back."""

    def __init__(self, servers: list[Server], *, every_s: float, seed: int) -> None:
        self.kills = 0
        self._servers = servers
        self._every_s = every_s
        self._rng = random.Random(seed)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            server = self._rng.choice(self._servers)
            await server.kill()
            self.kills += 1
            await server.start()


def resumes(metrics_port: int) -> int:
    """How often the balancer had another server go on."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as page:
        text = page.read().decode()
    return int(
        sum(
            map(
                float,
                re.findall(r"^chatterbox_balancer_resumes_total{.*} (\S+)$", text, re.MULTILINE),
            )
        )
    )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest difference of full scale; infinite if they are not even of one length."""
    if len(one) != len(other):
        return float("inf")
    return float(np.abs(one.astype(np.int32) - other).max() / 32768) if len(one) else 0.0


async def run(arguments: argparse.Namespace) -> dict[str, Any]:
    stories = [Story.of(number, arguments.sentences) for number in range(arguments.streams)]
    async with (
        cluster(arguments) as (servers, address, metrics_port),
        grpc.aio.insecure_channel(address, options=client_options()) as channel,
    ):
        peace = await asyncio.gather(*(listen(channel, story, 0) for story in stories))
        began_s = time.monotonic()
        torment = Torment(servers, every_s=arguments.kill_every_s, seed=arguments.seed)
        chaos = asyncio.create_task(torment.run())
        heard = await asyncio.gather(*(listen(channel, story, arguments.pace) for story in stories))
        took_s = time.monotonic() - began_s
        chaos.cancel()
        await asyncio.gather(chaos, return_exceptions=True)
        count = resumes(metrics_port)
    distances = [
        distance(one.samples, other.samples) for one, other in zip(peace, heard, strict=True)
    ]
    return {
        "streams": len(stories),
        "seconds": round(took_s, 1),
        "audio_s": round(sum(len(each.samples) for each in heard) / RATE_HZ, 1),
        "kills": torment.kills,
        "resumes": count,
        "failed": [each.error for each in heard if each.error],
        "failed_in_peace": [each.error for each in peace if each.error],
        "identical": sum(each == 0.0 for each in distances),
        "same_tokens": sum(each != float("inf") for each in distances),
        "near": sum(each <= NEAR for each in distances),
        "greatest_distance": max(distances),
        "underruns": sum(each.underruns for each in heard),
        "longest_gap_s": round(max(each.longest_gap_s for each in heard), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engine", choices=("tone", "chatterbox"), default="tone")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=12, help="of each stream")
    parser.add_argument("--kill-every-s", type=float, default=2.0)
    parser.add_argument("--pace", type=float, default=4.0, help="times real time; 0 is no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments))
    if arguments.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.writelines(f"{name:20}{value}\n" for name, value in report.items())
    is_whole = not report["failed"] and report["same_tokens"] == report["streams"]
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    main()
