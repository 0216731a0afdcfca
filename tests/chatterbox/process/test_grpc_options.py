"""The channel arguments do what they are for."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from chatterbox.process import grpc_options
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.cli_connection import channel_to

SERVER = Path(sys.executable).parent / "chatterbox-server"


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A model server of tones and where it listens; killed at the end, even when stopped."""
    process = subprocess.Popen(
        [SERVER, "--engine", "tone", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().split("listening on ")[1].split()[0]
    process.kill()
    process.communicate()


async def test_a_client_notices_a_server_that_hangs(
    server: tuple[subprocess.Popen[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `chatterbox say` dials it, only sooner."""
    monkeypatch.setattr(grpc_options, "KEEPALIVE_INTERVAL_MS", 500)
    monkeypatch.setattr(grpc_options, "KEEPALIVE_TIMEOUT_MS", 500)
    process, address = server
    async with channel_to(address) as channel:
        call = TextToSpeechServiceStub(channel).StreamingSynthesize()
        await call.write(
            pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
        )
        assert (await call.read()).HasField("started")
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
