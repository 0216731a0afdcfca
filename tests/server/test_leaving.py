"""Clients that leave, wait too long, come in crowds or meet a bug: places are freed, exactly once."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from chatterbox.engine.tone import ToneEngine
from chatterbox.process.grpc_options import client_options
from chatterbox.process.logs import configure_logs
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.app import serving
from server.settings import load_settings

LONG = "This sentence is one of many in a long text that takes a while to speak. " * 20
PACE = 0.01  # seconds per token: four times faster than speech
CONFIG = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())


def stub_of(channel: grpc.aio.Channel) -> Any:
    return TextToSpeechServiceStub(channel)


def open_channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=client_options())


def say(text: str) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(input=pb.SynthesisInput(text=text))


def text(content: str) -> pb.StreamingSynthesizeRequest:
    return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=content))


async def first_audio(call: Any) -> None:
    async with asyncio.timeout(20):
        while not (await call.read()).HasField("audio"):
            pass


async def until_the_end(call: Any) -> None:
    async with asyncio.timeout(20):
        while await call.read() is not grpc.aio.EOF:
            pass


async def speaking(channel: grpc.aio.Channel, method: str) -> Any:
    """A call of which the first audio has been heard."""
    if method == "Synthesize":
        call = stub_of(channel).Synthesize(say(LONG))
    else:
        call = stub_of(channel).StreamingSynthesize()
        await call.write(CONFIG)
        await call.write(text(LONG))
    await first_audio(call)
    return call


both = pytest.mark.parametrize("method", ["Synthesize", "StreamingSynthesize"])


@both
async def test_a_client_that_leaves_in_mid_stream_frees_its_place(
    start: Any, settled: Any, method: str
) -> None:
    async with start(pace=PACE) as running, open_channel(running.address) as channel:
        call = await speaking(channel, method)
        assert running.admission.active == 1
        assert running.engine.active_count >= 1

        left_s = time.monotonic()
        call.cancel()
        await settled(lambda: running.admission.active == 0)
        await settled(lambda: running.engine.active_count == 0)
        assert time.monotonic() - left_s < 3.0  # a step takes half a second, what is left twenty


@both
async def test_a_client_whose_connection_dies_frees_its_place(
    start: Any, settled: Any, method: str
) -> None:
    async with start(pace=PACE) as running:
        channel = open_channel(running.address)
        await speaking(channel, method)
        await channel.close()
        await settled(lambda: running.admission.active == running.engine.active_count == 0)


async def test_a_client_that_leaves_before_its_config_frees_its_place(
    start: Any, settled: Any
) -> None:
    async with start() as running, open_channel(running.address) as channel:
        call = stub_of(channel).StreamingSynthesize()
        await settled(lambda: running.admission.active == 1)
        call.cancel()
        await settled(lambda: running.admission.active == 0)


@both
async def test_a_deadline_ends_the_call_and_frees_its_place(
    start: Any, settled: Any, method: str
) -> None:
    async with start(pace=PACE) as running, open_channel(running.address) as channel:
        if method == "Synthesize":
            call = stub_of(channel).Synthesize(say(LONG), timeout=0.5)
        else:
            messages = iter([CONFIG, text(LONG)])
            call = stub_of(channel).StreamingSynthesize(messages, timeout=0.5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await settled(lambda: running.admission.active == running.engine.active_count == 0)


async def test_one_more_stream_than_there_is_room_for_is_refused_at_once(
    start: Any, refusal: Any
) -> None:
    async with start(pace=PACE, max_streams=2) as running, open_channel(running.address) as channel:
        calls = [await speaking(channel, "Synthesize") for _ in range(2)]
        asked_s = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub_of(channel).Synthesize(say("Hello."))))
        assert time.monotonic() - asked_s < 10.0  # the two take far longer

        seen = refusal(caught.value)
        assert (seen.code, seen.info.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
        )
        assert seen.detail(error_details_pb2.RetryInfo).retry_delay.seconds >= 1

        calls[0].cancel()
        async with asyncio.timeout(20):
            while running.admission.active == 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        answers = [answer async for answer in stub_of(channel).Synthesize(say("Hello."))]
        assert answers[-1].HasField("summary")
        calls[1].cancel()


async def test_a_full_engine_is_told_as_overload(start: Any, refusal: Any) -> None:
    async with (
        start(pace=PACE, slots=1, max_waiting=0) as running,
        open_channel(running.address) as channel,
    ):
        call = await speaking(channel, "Synthesize")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub_of(channel).Synthesize(say("Hello."))))
        assert refusal(caught.value).info.reason == "OVERLOADED"
        call.cancel()


async def test_a_silent_session_is_ended(start: Any, refusal: Any, settled: Any) -> None:
    async with start(idle_timeout_s=0.3) as running, open_channel(running.address) as channel:
        call = stub_of(channel).StreamingSynthesize()
        await call.write(CONFIG)
        await call.write(text("A sentence. "))
        began_s = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await until_the_end(call)
        seen = refusal(caught.value)
        assert (seen.code, seen.info.reason) == (grpc.StatusCode.ABORTED, "SESSION_IDLE")
        assert time.monotonic() - began_s >= 0.25
        await settled(lambda: running.admission.active == 0)


async def test_a_session_that_never_begins_is_ended(start: Any, refusal: Any) -> None:
    async with start(idle_timeout_s=0.2) as running, open_channel(running.address) as channel:
        call = stub_of(channel).StreamingSynthesize()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(20):
                await call.read()
        assert refusal(caught.value).code is grpc.StatusCode.ABORTED


async def test_a_session_that_speaks_is_not_idle(start: Any) -> None:
    # The text takes several times the timeout to speak, and the client says nothing meanwhile.
    async with (
        start(pace=PACE, idle_timeout_s=0.7) as running,
        open_channel(running.address) as channel,
    ):
        call = stub_of(channel).StreamingSynthesize()
        await call.write(CONFIG)
        await call.write(text("This text is long enough to be spoken for a while. " * 3))
        began_s = time.monotonic()
        heard_s = 0.0
        async with asyncio.timeout(15):
            while heard_s < 8:
                heard_s += len((await call.read()).audio.audio_content) / 48_000
        assert time.monotonic() - began_s > 1.4
        await call.done_writing()
        last = None
        while (answer := await call.read()) is not grpc.aio.EOF:
            last = answer
        assert last is not None
        assert last.HasField("summary")


async def test_a_listener_who_does_not_read_makes_the_engine_wait(start: Any) -> None:
    # Eight minutes of sound: more than any buffer on the way takes in.
    async with start() as running, open_channel(running.address) as channel:
        call = stub_of(channel).Synthesize(say(LONG * 5))
        await first_audio(call)
        await asyncio.sleep(0.5)
        assert running.admission.active == 1
        assert running.engine.active_count <= 2
        call.cancel()


class Broken(ToneEngine):
    """An engine with a bug."""

    def submit(self, utterance: Any) -> Any:
        raise ZeroDivisionError(f"a secret of {utterance.voice}")


async def test_a_bug_is_an_internal_error_that_tells_nothing_but_where_to_look(
    refusal: Any,
) -> None:
    logs = io.StringIO()
    configure_logs(log_format="json", stream=logs)
    settings = load_settings(listen="127.0.0.1:0", engine="tone")
    async with (
        serving(settings, engine=Broken()) as running,
        open_channel(running.address) as channel,
    ):
        for answers in (
            stub_of(channel).Synthesize(say("Hello.")),
            stub_of(channel).StreamingSynthesize(iter([CONFIG, text("Hello there.")])),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in answers:
                    pass
            seen = refusal(caught.value)
            assert (seen.code, seen.message) == (grpc.StatusCode.INTERNAL, "internal error")
            assert "secret" not in str(seen.trailing)

            request_id = seen.info.metadata["request_id"]
            lines = [json.loads(line) for line in logs.getvalue().splitlines()]
            mine = [line for line in lines if line.get("request_id") == request_id]
            assert any("ZeroDivisionError: a secret" in line.get("exception", "") for line in mine)
            assert [line["code"] for line in mine if line["event"] == "call"] == ["INTERNAL"]


async def many_messages(count: int) -> AsyncIterator[pb.StreamingSynthesizeRequest]:
    yield CONFIG
    for _ in range(count):
        yield text("")
    # A grpc.aio client that writes on after the server has ended the call hides its status.
    await asyncio.sleep(5)


async def test_messages_without_end_are_bounded(
    client: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.live.MAX_INPUTS", 50)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.stub.StreamingSynthesize(many_messages(51)):
            pass
    assert refusal(caught.value).info.reason == "TOO_MANY_MESSAGES"
