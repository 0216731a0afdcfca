"""Real servers that are killed, hang, restart, drain, come and go."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.process.grpc_options import client_options
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

CONFIG = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
LONG = "This sentence is one of many in a text that is never read to its end. " * 1300


def text(content: str) -> pb.StreamingSynthesizeRequest:
    return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=content))


async def say(channel: grpc.aio.Channel, words: str = "Hello there.") -> str:
    """Where a text was spoken, whole."""
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=words))
    call: Any = TextToSpeechServiceStub(channel).Synthesize(request, timeout=20)
    answers = [answer async for answer in call]
    assert answers[-1].HasField("summary")
    return str(dict(await call.initial_metadata())["x-served-by"])


async def opened(channel: grpc.aio.Channel) -> Any:
    """A live session that has spoken."""
    call: Any = TextToSpeechServiceStub(channel).StreamingSynthesize()
    await call.write(CONFIG)
    await call.write(text("This is the first sentence. "))
    while not (await call.read()).HasField("audio"):
        pass
    return call


async def served_by(call: Any) -> str:
    return str(dict(await call.initial_metadata())["x-served-by"])


async def rest_of(call: Any) -> list[Any]:
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


@pytest.fixture
async def stack(launch_server: Any, balance: Any, tmp_path: Path) -> Any:
    """Two servers of tones by address, a balancer before them, a channel to it."""
    file = tmp_path / "backends"
    async with launch_server() as first, launch_server() as second:
        file.write_text(f"{first.address}\n{second.address}\n")
        async with (
            balance(backends=f"file:{file}", discovery_s=0.05, slow_start_s=0) as balancer,
            grpc.aio.insecure_channel(balancer.address, options=client_options()) as channel,
        ):
            servers = {first.address: first, second.address: second}
            yield servers, balancer, channel, file


def serving(balancer: Any) -> set[str]:
    return {
        upstream.address
        for upstream in balancer.pool.upstreams
        if upstream.eligible_since_s is not None
    }


async def test_a_killed_server_ends_its_streams_at_once_and_others_go_on(
    stack: Any, refused: Any, settled: Any, launch_server: Any
) -> None:
    servers, balancer, channel, _ = stack
    await settled(lambda: len(serving(balancer)) == 2)
    calls = [await opened(channel) for _ in range(6)]
    homes = [await served_by(call) for call in calls]
    assert set(homes) == set(servers)
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=LONG))
    whole: Any = TextToSpeechServiceStub(channel).Synthesize(request)
    while not (await whole.read()).HasField("audio"):
        pass

    victim = servers[await served_by(whole)]
    victim.send(signal.SIGKILL)
    for call, home in zip(calls, homes, strict=True):
        if home == victim.address:
            async with asyncio.timeout(20):
                refusal = await refused(rest_of(call))
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "BACKEND_LOST",
            )
            assert refusal.retry_s == 1.0
    async with asyncio.timeout(10):
        assert (await refused(rest_of(whole))).reason == "BACKEND_LOST"  # in the middle of a chunk

    (survivor,) = set(servers) - {victim.address}
    for _ in range(10):
        assert await say(channel) == survivor
    for call, home in zip(calls, homes, strict=True):
        if home == survivor:
            await call.write(text("And this is the second."))
            await call.done_writing()
            assert (await rest_of(call))[-1].summary.segment_count == 2

    async with launch_server(port=victim.port):
        await settled(lambda: len(serving(balancer)) == 2)
        assert {await say(channel) for _ in range(40)} == set(servers)


async def test_an_idle_server_that_is_killed_is_not_noticed_by_callers(
    stack: Any, settled: Any
) -> None:
    servers, balancer, channel, _ = stack
    await settled(lambda: len(serving(balancer)) == 2)
    victim = next(iter(servers.values()))
    victim.send(signal.SIGKILL)
    spoken = await asyncio.gather(*(say(channel) for _ in range(30)))  # some of them go there first
    assert set(spoken) == set(servers) - {victim.address}
    await settled(lambda: victim.address not in serving(balancer))


async def test_a_server_that_drains_fails_nobody(stack: Any, settled: Any) -> None:
    servers, balancer, channel, _ = stack
    await settled(lambda: len(serving(balancer)) == 2)
    calls = [await opened(channel) for _ in range(6)]
    homes = [await served_by(call) for call in calls]
    leaving = servers[homes[0]]
    leaving.send(signal.SIGTERM)
    spoken = [await say(channel) for _ in range(20)]
    assert leaving.address not in spoken[5:]
    for call in calls:
        await call.write(text("And this is the second."))
        await call.done_writing()
        assert (await rest_of(call))[-1].summary.segment_count == 2
    code, errors = await leaving.ended()
    assert code == 0
    assert "Traceback" not in errors


async def test_a_server_that_hangs_is_taken_out_and_its_streams_end(
    stack: Any, settled: Any, refused: Any
) -> None:
    servers, balancer, channel, _ = stack
    await settled(lambda: len(serving(balancer)) == 2)
    call = await opened(channel)
    hanging = servers[await served_by(call)]
    hanging.send(signal.SIGSTOP)
    try:
        await settled(lambda: hanging.address not in serving(balancer))
        for _ in range(10):
            assert await say(channel) != hanging.address
        async with asyncio.timeout(15):
            refusal = await refused(rest_of(call))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_LOST")
    finally:
        hanging.send(signal.SIGCONT)
    await settled(lambda: hanging.address in serving(balancer))


async def test_servers_come_and_go_with_the_file_and_running_streams_stay(
    stack: Any, settled: Any, launch_server: Any
) -> None:
    servers, balancer, channel, file = stack
    await settled(lambda: len(serving(balancer)) == 2)
    call = await opened(channel)
    home = await served_by(call)
    (stays,) = set(servers) - {home}
    async with launch_server() as third:
        file.write_text(f"{stays}\n{third.address}\n")
        await settled(lambda: serving(balancer) == {stays, third.address})
        spoken = {await say(channel) for _ in range(40)}
        assert spoken == {stays, third.address}

        await call.write(text("And this is the second."))
        await call.done_writing()
        assert (await rest_of(call))[-1].summary.segment_count == 2

        file.write_text("")
        await settled(lambda: not balancer.pool.upstreams)


async def test_with_no_server_left_callers_are_told_at_once(
    stack: Any, settled: Any, refused: Any
) -> None:
    servers, balancer, channel, _ = stack
    await settled(lambda: len(serving(balancer)) == 2)
    for server in servers.values():
        server.send(signal.SIGKILL)
    await settled(lambda: not serving(balancer))
    refusal = await refused(say(channel))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_BACKEND")
    assert refusal.retry_s == 1.0
