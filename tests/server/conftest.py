"""A real server on a loopback port, speaking tones, and what tests say to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.tone import ToneEngine
from chatterbox.process.grpc_options import client_options
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.app import RunningServer, serving
from server.settings import ServerSettings, load_settings

Responses = list[pb.StreamingSynthesizeResponse]
Requests = AsyncIterator[pb.StreamingSynthesizeRequest]
Start = Callable[..., AbstractAsyncContextManager[RunningServer]]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ServerSettings.model_fields:
        monkeypatch.delenv(f"CHATTERBOX_{name.upper()}", raising=False)
    monkeypatch.delenv("CHATTERBOX_SERVER", raising=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def start() -> Start:
    """Starts a server of tones; `pace` is the seconds it takes per speech token (40 ms)."""

    @asynccontextmanager
    async def run(*, pace: float = 0.0, **settings: Any) -> AsyncIterator[RunningServer]:
        chosen = load_settings(**{"listen": "127.0.0.1:0", "engine": "tone"} | settings)
        # What a busy machine makes of the tones' pace is no reason to refuse anybody here.
        config = EngineConfig(
            slots=chosen.slots, max_waiting=chosen.max_waiting, max_utilisation=0.0
        )
        engine = ToneEngine(config, seconds_per_token=pace)
        async with serving(chosen, engine=engine) as running:
            yield running

    return run


@pytest.fixture
async def running(start: Start) -> AsyncIterator[RunningServer]:
    async with start(drain_s=1.0) as server:
        yield server


@pytest.fixture
async def channel(running: RunningServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(running.address, options=client_options()) as channel:
        yield channel


class Client:
    """Says things to a server and collects what it answers."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = TextToSpeechServiceStub(channel)

    @staticmethod
    def request(text: str, **fields: Any) -> pb.SynthesizeRequest:
        return pb.SynthesizeRequest(input=pb.SynthesisInput(text=text), **fields)

    @staticmethod
    def config(**fields: Any) -> pb.StreamingSynthesizeRequest:
        return pb.StreamingSynthesizeRequest(
            streaming_config=pb.StreamingSynthesizeConfig(**fields)
        )

    @staticmethod
    def text(text: str) -> pb.StreamingSynthesizeRequest:
        return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=text))

    @staticmethod
    def flush(flush_id: str = "") -> pb.StreamingSynthesizeRequest:
        return pb.StreamingSynthesizeRequest(flush=pb.Flush(flush_id=flush_id))

    async def say(self, text: str, **fields: Any) -> Responses:
        """All answers of `Synthesize`."""
        async with asyncio.timeout(20):
            return [answer async for answer in self.stub.Synthesize(self.request(text, **fields))]

    async def send(self, *requests: pb.StreamingSynthesizeRequest) -> Responses:
        """All answers of `StreamingSynthesize` to these messages.

        They are sent again where a write met the end of its call: then gRPC's client may put a
        status of its own in the place of the server's.
        """
        async with asyncio.timeout(20):
            while True:
                try:
                    return [each async for each in self.stub.StreamingSynthesize(iter(requests))]
                except grpc.aio.AioRpcError as error:
                    if error.details() != "Internal error from Core":
                        raise


@pytest.fixture
def client(channel: grpc.aio.Channel) -> Client:
    return Client(channel)


@pytest.fixture
def connect() -> Callable[[RunningServer], AbstractAsyncContextManager[Client]]:
    """A client of any server that runs."""

    @asynccontextmanager
    async def run(running: RunningServer) -> AsyncIterator[Client]:
        address = running.address
        async with grpc.aio.insecure_channel(address, options=client_options()) as channel:
            yield Client(channel)

    return run


class Refusal:
    """The status of a failed call, unpacked."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.trailing = dict(error.trailing_metadata() or ())
        status = rpc_status.from_call(error)
        details = status.details if status is not None else ()
        self._packed = {packed.TypeName(): packed for packed in details}
        self.info = self.detail(error_details_pb2.ErrorInfo)

    def detail(self, kind: Any) -> Any:
        """The detail of this kind, empty if there is none."""
        found = kind()
        packed = self._packed.get(kind.DESCRIPTOR.full_name)
        if packed is not None:
            packed.Unpack(found)
        return found

    @property
    def fields(self) -> list[str]:
        violations = self.detail(error_details_pb2.BadRequest).field_violations
        return [violation.field for violation in violations]


@pytest.fixture
def refusal() -> type[Refusal]:
    return Refusal


@pytest.fixture
def settled() -> Callable[..., Any]:
    """Waits until a condition holds; fails when it never does."""

    async def wait(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  # what is waited for has no event
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def voices_folder(tmp_path: Path) -> Path:
    """A folder with five voices besides the two of the tone engine."""
    for name in ("carol", "dan", "eve", "frank", "gina"):
        folder = tmp_path / "voices" / name
        folder.mkdir(parents=True)
        facts = {"display_name": name.title(), "language": "en-GB", "families": ["tone", "other"]}
        (folder / "voice.json").write_text(json.dumps(facts))
    return tmp_path / "voices"
