"""The server as a process: what it prints, how it stops, how it fails to start."""

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

SERVER = Path(sys.executable).parent / "chatterbox-server"
CONFIG = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
Status = health_pb2.HealthCheckResponse.ServingStatus


@asynccontextmanager
async def server_process(*flags: str) -> AsyncIterator[tuple[Process, str]]:
    """A server of tones and its address; killed if the test leaves it running."""
    process = await asyncio.create_subprocess_exec(
        SERVER, "--engine", "tone", "--listen", "127.0.0.1:0", *flags, stdout=PIPE, stderr=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        match = re.search(r"listening on (\S+)", line)
        assert match is not None, line
        yield process, match[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: Process) -> tuple[int, str]:
    """Exit code and standard error."""
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def text(content: str) -> pb.StreamingSynthesizeRequest:
    return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=content))


async def opened(channel: grpc.aio.Channel) -> Any:
    """A live session that has begun."""
    call: Any = TextToSpeechServiceStub(channel).StreamingSynthesize()
    await call.write(CONFIG)
    assert (await call.read()).HasField("started")
    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_stream_ends_well_when_the_server_is_stopped(
    number: signal.Signals, refusal: Any
) -> None:
    async with (
        server_process() as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == Status.SERVING
        call = await opened(channel)

        process.send_signal(number)
        assert (await watch.read()).status == Status.NOT_SERVING

        request = pb.SynthesizeRequest(input=pb.SynthesisInput(text="Too late."))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(TextToSpeechServiceStub(channel).Synthesize(request)))
        assert refusal(caught.value).info.reason == "ENGINE_STOPPED"

        await call.write(text("This was begun before the signal."))
        await call.done_writing()
        answers = []
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
        assert answers[-1].summary.segment_count == 1
        assert await call.code() is grpc.StatusCode.OK

        code, errors = await ended(process)
        assert code == 0
        assert "Traceback" not in errors


async def test_a_stream_that_does_not_end_is_cut_off_after_the_drain_time() -> None:
    async with (
        server_process("--drain-s", "0.5") as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        call = await opened(channel)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        code, errors = await ended(process)
        assert code == 0
        assert "streams are cut off" in errors
        assert "Traceback" not in errors


async def test_an_idle_server_stops_at_once() -> None:
    async with server_process("--drain-s", "600") as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        process.send_signal(signal.SIGTERM)
        code, _ = await ended(process)
        assert code == 0


async def failure(*flags: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(SERVER, *flags, stdout=PIPE, stderr=PIPE)
    return await ended(process)


async def test_a_wrong_flag_is_one_line_and_exit_code_2() -> None:
    code, errors = await failure("--max-streams", "none")
    assert (code, errors.count("\n")) == (2, 1)
    assert "--max-streams" in errors


async def test_a_taken_port_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, errors = await failure("--engine", "tone", "--listen", address)
    assert code == 2
    assert f"cannot listen on {address}" in errors.splitlines()[-1]
    assert "Traceback" not in errors


async def test_a_folder_that_is_not_there_is_one_line_and_exit_code_2() -> None:
    code, errors = await failure("--engine", "tone", "--voices", "/no/such/folder")
    assert (code, errors.count("\n")) == (2, 1)
    assert "/no/such/folder" in errors


async def test_weights_that_are_not_there_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    code, errors = await failure("--listen", "127.0.0.1:0", "--weights", str(missing))
    assert (code, errors.count("\n")) == (2, 1)
    assert str(missing) in errors


async def test_weights_that_are_damaged_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for name in ("t3", "s3gen", "ve"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"no tensors here")
    code, errors = await failure("--listen", "127.0.0.1:0", "--weights", str(tmp_path))
    assert (code, errors.count("\n")) == (2, 1)
    assert str(tmp_path) in errors
