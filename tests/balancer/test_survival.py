"""Speech goes on, to the sample, when the server that speaks is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

from chatterbox.process.grpc_options import client_options
from chatterbox.process.resume import RESUME_KEY, WANTED
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

SEED = 7
SENTENCE = "This is sentence number {} of a text that is long enough to be interrupted in it. "
TEXT = "".join(SENTENCE.format(number) for number in range(120))
OPTIONS = pb.SynthesisOptions(seed=SEED)
CONFIG = pb.StreamingSynthesizeRequest(
    streaming_config=pb.StreamingSynthesizeConfig(options=OPTIONS)
)
Response = pb.StreamingSynthesizeResponse


def whole(text: str = TEXT) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(input=pb.SynthesisInput(text=text), options=OPTIONS)


def piece(content: str) -> pb.StreamingSynthesizeRequest:
    return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=content))


@dataclass
class Cluster:
    """Servers of tones that share a key, a balancer before them, a channel to it."""

    servers: dict[str, Any]
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        return TextToSpeechServiceStub(self.channel)

    async def undisturbed(self, request: pb.SynthesizeRequest) -> list[Response]:
        return [answer async for answer in self.stub.Synthesize(request, timeout=60)]


@pytest.fixture
async def cluster(
    launch_server: Any, balance: Any, settled: Any, tmp_path: Path
) -> AsyncIterator[Cluster]:
    key = tmp_path / "key"
    key.write_text("a key that all servers of this test share")
    async with AsyncExitStack() as stack:
        launched = [
            await stack.enter_async_context(launch_server("--resume-key-file", str(key)))
            for _ in range(3)
        ]
        addresses = ",".join(server.address for server in launched)
        balancer = await stack.enter_async_context(balance(backends=addresses, slow_start_s=0))
        await settled(
            lambda: all(each.eligible_since_s is not None for each in balancer.pool.upstreams)
        )
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(balancer.address, options=client_options())
        )
        yield Cluster({server.address: server for server in launched}, channel)


def sound(answers: list[Response]) -> bytes:
    return b"".join(answer.audio.audio_content for answer in answers)


def check_unbroken(answers: list[Response]) -> None:
    """Sequence and offsets go on, nothing internal is left, and the end is there."""
    chunks = [answer.audio for answer in answers if answer.HasField("audio")]
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    samples = 0
    for chunk in chunks:
        offset = chunk.offset.seconds * 24_000 + round(chunk.offset.nanos * 24e3 / 1e9)
        assert offset == samples
        samples += len(chunk.audio_content) // 2
    assert sum(answer.HasField("started") for answer in answers) == 1
    assert [answer.HasField("summary") for answer in answers].index(True) == len(answers) - 1
    assert all(len(UnknownFieldSet(answer)) == 0 for answer in answers)


async def read(call: Any, count: int) -> list[Response]:
    """So many messages with sound, and what comes between."""
    answers: list[Response] = []
    while sum(answer.HasField("audio") for answer in answers) < count:
        answer = await call.read()
        assert answer is not grpc.aio.EOF
        answers.append(answer)
    return answers


async def rest(call: Any) -> list[Response]:
    answers = []
    async with asyncio.timeout(60):
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    return answers


async def test_a_text_goes_on_when_its_server_is_killed(cluster: Cluster) -> None:
    expected = await cluster.undisturbed(whole())
    call = cluster.stub.Synthesize(whole())
    answers = await read(call, 3)
    home = dict(await call.initial_metadata())["x-served-by"]

    cluster.servers[home].send(signal.SIGKILL)
    answers += await rest(call)

    check_unbroken(answers)
    assert sound(answers) == sound(expected)
    assert answers[-1].summary.character_count == len(TEXT)
    assert answers[-1].summary.segment_count == expected[-1].summary.segment_count
    assert answers[-1].summary.audio_duration == expected[-1].summary.audio_duration


async def test_a_second_server_may_be_killed_as_well(cluster: Cluster) -> None:
    expected = await cluster.undisturbed(whole())
    call = cluster.stub.Synthesize(whole())
    answers = await read(call, 3)
    home = dict(await call.initial_metadata())["x-served-by"]
    cluster.servers.pop(home).send(signal.SIGKILL)
    answers += await read(call, 40)
    cluster.servers.popitem()[1].send(signal.SIGKILL)  # the one that went on, or one that idles
    answers += await rest(call)
    check_unbroken(answers)
    assert sound(answers) == sound(expected)


async def test_a_session_goes_on_that_has_been_sent_half(cluster: Cluster) -> None:
    async def speak(*, killed: bool) -> list[Response]:
        call = cluster.stub.StreamingSynthesize()
        await call.write(CONFIG)
        await call.write(piece("The first sentence is whole. The second "))
        answers = await read(call, 2)
        if killed:
            home = dict(await call.initial_metadata())["x-served-by"]
            cluster.servers.pop(home).send(signal.SIGKILL)
        await call.write(piece("comes in two parts. "))
        flush = pb.Flush(flush_id="here")
        await call.write(pb.StreamingSynthesizeRequest(flush=flush))
        await call.write(piece("And a third one follows the flush."))
        await call.done_writing()
        return [*answers, *await rest(call)]

    expected = await speak(killed=False)
    answers = await speak(killed=True)

    check_unbroken(answers)
    assert sound(answers) == sound(expected)
    done = [answer.flush_done for answer in answers if answer.HasField("flush_done")]
    assert done == [answer.flush_done for answer in expected if answer.HasField("flush_done")]
    assert len(done) == 1


async def test_a_server_that_hangs_is_given_up_and_another_goes_on(cluster: Cluster) -> None:
    expected = await cluster.undisturbed(whole())
    call = cluster.stub.Synthesize(whole())
    answers = await read(call, 3)
    hanging = cluster.servers[dict(await call.initial_metadata())["x-served-by"]]
    hanging.send(signal.SIGSTOP)
    try:
        answers += await rest(call)
    finally:
        hanging.send(signal.SIGCONT)
    check_unbroken(answers)
    assert sound(answers) == sound(expected)


async def test_with_nobody_left_the_loss_is_told(cluster: Cluster, refused: Any) -> None:
    call = cluster.stub.Synthesize(whole())
    await read(call, 3)
    for server in cluster.servers.values():
        server.send(signal.SIGKILL)
    refusal = await refused(rest(call))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_LOST")


async def test_a_client_cannot_ask_for_footers(cluster: Cluster) -> None:
    call = cluster.stub.Synthesize(whole("Hello there."), metadata=((RESUME_KEY, WANTED),))
    answers = [answer async for answer in call]
    check_unbroken(answers)


async def test_what_cannot_go_on_at_any_sample_is_lost_with_its_server(
    cluster: Cluster, refused: Any
) -> None:
    request = whole()
    request.audio_config.audio_encoding = pb.AUDIO_ENCODING_MP3
    call = cluster.stub.Synthesize(request)
    await read(call, 3)
    home = dict(await call.initial_metadata())["x-served-by"]
    cluster.servers[home].send(signal.SIGKILL)
    refusal = await refused(rest(call))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_LOST")
