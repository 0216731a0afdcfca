"""Resume states at the door of a model server: only its own, for the same call, for a while."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.process.resume import GO_ON, RESUME_KEY, WANTED, Footer, footer, split
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.worker.v1 import resume_pb2
from server.app import serving
from server.settings import load_settings

METHOD = "/chatterbox.v1.TextToSpeechService/Synthesize"
TEXT = "This is the first sentence of a text. " * 12
KEY = "the key of this installation"


def request(text: str = TEXT, seed: int = 3) -> bytes:
    return pb.SynthesizeRequest(
        input=pb.SynthesisInput(text=text), options=pb.SynthesisOptions(seed=seed)
    ).SerializeToString()


@asynccontextmanager
async def server(folder: Path, key: str | None = KEY) -> AsyncIterator[grpc.aio.Channel]:
    """A model server of tones and a channel to it that speaks bytes."""
    file = folder / "key"
    file.write_text(key or "")
    settings = load_settings(
        engine="tone", listen="127.0.0.1:0", resume_key_file=None if key is None else file
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        yield channel


async def answers(channel: grpc.aio.Channel, sent: bytes, asked: str | None) -> list[bytes]:
    metadata = () if asked is None else ((RESUME_KEY, asked),)
    call: Any = channel.unary_stream(METHOD)(sent, metadata=metadata, timeout=30)  # type: ignore[attr-defined]
    return [message async for message in call]


def parts(messages: list[bytes]) -> tuple[list[bytes], list[Footer | None]]:
    taken_apart = [split(message) for message in messages]
    return [plain for plain, _ in taken_apart], [found for _, found in taken_apart]


def sound(messages: list[bytes]) -> bytes:
    read = map(pb.StreamingSynthesizeResponse.FromString, messages)
    return b"".join(each.audio.audio_content for each in read)


async def test_from_every_footer_the_rest_follows(tmp_path: Path) -> None:
    async with server(tmp_path) as channel:
        plain, footers = parts(await answers(channel, request(), WANTED))
        assert all(found is not None for found in footers)
        for number, found in enumerate(footers):
            assert found is not None
            rest, _ = parts(await answers(channel, request() + found.written, GO_ON))
            assert sound(rest) == sound(plain[number + 1 :])
            assert len(rest) == len(plain) - number - 1


async def test_nobody_gets_footers_who_has_not_asked(tmp_path: Path) -> None:
    async with server(tmp_path) as channel:
        _, footers = parts(await answers(channel, request(), None))
    assert footers == [None] * len(footers)


async def test_without_a_key_there_are_none(tmp_path: Path) -> None:
    async with server(tmp_path, key=None) as channel:
        _, footers = parts(await answers(channel, request(), WANTED))
    assert footers == [None] * len(footers)


async def first_footer(channel: grpc.aio.Channel, sent: bytes) -> Footer:
    _, footers = parts(await answers(channel, sent, WANTED))
    assert footers[1] is not None
    return footers[1]


async def refusal(channel: grpc.aio.Channel, sent: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(channel, sent, GO_ON)
    return caught.value.code(), caught.value.details() or ""


async def test_a_forged_state_is_refused(tmp_path: Path) -> None:
    async with server(tmp_path) as channel:
        good = resume_pb2.ResumeFooter.FromString((await first_footer(channel, request())).written)
        signed = resume_pb2.SignedResumeState.FromString(good.state)
        for place in (0, len(signed.state) // 2, len(signed.state) - 1):
            bent = bytearray(signed.state)
            bent[place] ^= 1
            forged = resume_pb2.SignedResumeState(state=bytes(bent), signature=signed.signature)
            written = footer(forged.SerializeToString(), requests_taken=1)
            code, details = await refusal(channel, request() + written)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "not made by a server of this installation" in details
        for state in (b"", b"\xff\xff", b"nothing of the kind"):
            code, _ = await refusal(channel, request() + footer(state, requests_taken=1))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert (await refusal(channel, request()))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_state_of_another_installation_is_refused(tmp_path: Path) -> None:
    async with server(tmp_path, key="the key of another installation") as channel:
        theirs = await first_footer(channel, request())
    async with server(tmp_path) as channel:
        code, _ = await refusal(channel, request() + theirs.written)
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_state_is_good_for_its_own_call_only(tmp_path: Path) -> None:
    async with server(tmp_path) as channel:
        found = await first_footer(channel, request())
        for other in (request(text=TEXT + "More."), request(seed=4)):
            code, details = await refusal(channel, other + found.written)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "another call" in details


async def test_an_old_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(tmp_path) as channel:
        found = await first_footer(channel, request())
        late_s = time.time() + 3600
        monkeypatch.setattr("server.resume.time.time", lambda: late_s)
        code, details = await refusal(channel, request() + found.written)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "too old" in details


async def test_a_short_key_is_refused_at_the_start(tmp_path: Path) -> None:
    from chatterbox.errors import ConfigError

    with pytest.raises(ConfigError, match="resume-key-file"):
        async with server(tmp_path, key="short"):
            pass
