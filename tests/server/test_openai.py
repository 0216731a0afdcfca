"""The OpenAI-shaped service over gRPC; tests/e2e has it over HTTP, with OpenAI's own client."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import ParseDict

from chatterbox.v1 import openai_service_pb2 as pb
from chatterbox.v1.openai_service_pb2_grpc import OpenAIServiceStub
from server.app import RunningServer

TEXT = "The quick brown fox jumps over the lazy dog."
Code = grpc.StatusCode


class Speaker:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = OpenAIServiceStub(channel)

    def call(self, **fields: Any) -> Any:
        request = ParseDict({"input": TEXT} | fields, pb.CreateSpeechRequest())
        return self.stub.CreateSpeech(request)

    async def pieces(self, **fields: Any) -> list[HttpBody]:
        async with asyncio.timeout(20):
            return [piece async for piece in self.call(**fields)]

    async def body(self, **fields: Any) -> bytes:
        return b"".join(piece.data for piece in await self.pieces(**fields))


@pytest.fixture
def speaker(channel: grpc.aio.Channel) -> Speaker:
    return Speaker(channel)


@pytest.fixture
async def pcm_of_tts(client: Any) -> bytes:
    """What the other service says to the same text and seed."""
    answers = await client.say(TEXT, options={"seed": 7})
    return b"".join(answer.audio.audio_content for answer in answers)


def duration_s(data: bytes) -> float:
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
        return sum(frame.samples for frame in frames) / frames[0].sample_rate


async def test_pcm_is_what_the_other_service_says(speaker: Speaker, pcm_of_tts: bytes) -> None:
    pieces = await speaker.pieces(response_format="pcm", seed=7)
    assert b"".join(piece.data for piece in pieces) == pcm_of_tts
    assert {piece.content_type for piece in pieces} == {"audio/pcm"}


@pytest.mark.parametrize(
    ("response_format", "media_type"),
    [
        ("", "audio/mpeg"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
    ],
)
async def test_every_format_is_a_file_of_the_right_length(
    speaker: Speaker, pcm_of_tts: bytes, response_format: str, media_type: str
) -> None:
    pieces = await speaker.pieces(response_format=response_format, seed=7)
    assert pieces[0].content_type == media_type
    heard_s = duration_s(b"".join(piece.data for piece in pieces))
    assert heard_s == pytest.approx(len(pcm_of_tts) / 48_000, abs=0.15)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2, 4])
async def test_speed_changes_the_length(speaker: Speaker, pcm_of_tts: bytes, speed: float) -> None:
    body = await speaker.body(response_format="pcm", speed=speed, seed=7)
    assert len(body) == pytest.approx(len(pcm_of_tts) / speed, abs=4)


async def test_events_hold_the_same_bytes_and_end_with_the_usage(
    speaker: Speaker, pcm_of_tts: bytes
) -> None:
    pieces = await speaker.pieces(response_format="pcm", stream_format="sse", seed=7)
    assert pieces[0].content_type == "text/event-stream"
    lines = b"".join(piece.data for piece in pieces).decode().split("\n\n")
    assert lines.pop() == ""
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == pcm_of_tts
    usage = done["usage"]
    assert done["type"] == "speech.audio.done"
    assert usage["input_tokens"] == len(TEXT)
    assert usage["output_tokens"] == round(len(pcm_of_tts) / 48_000 * 25)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("voice", ["alloy", "bass", {"id": "bass"}, "voices/bass", ""])
@pytest.mark.parametrize(
    "model", ["tts-1", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "tone"]
)
async def test_names_of_ours_and_of_openai_are_taken(
    speaker: Speaker, voice: Any, model: str
) -> None:
    assert await speaker.body(voice=voice, model=model)


async def test_a_voice_of_the_server_wins_over_a_name_of_openai(
    start: Any, voices_folder: Path
) -> None:
    folder = voices_folder / "onyx"
    folder.mkdir()
    facts = {"display_name": "Onyx", "language": "en", "families": ["tone"]}
    (folder / "voice.json").write_text(json.dumps(facts))
    async with (
        start(voices=voices_folder) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        speaker = Speaker(channel)
        ours, other = [
            await speaker.body(voice=voice, response_format="pcm", seed=1)
            for voice in ("onyx", "alloy")
        ]
    assert ours != other


async def test_what_it_cannot_do_is_ignored_and_not_refused(speaker: Speaker) -> None:
    assert await speaker.body(instructions="Whisper, like a pirate.")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": ""}, Code.INVALID_ARGUMENT, "input"),
        ({"input": "x" * 4097}, Code.INVALID_ARGUMENT, "input"),
        ({"input": "..."}, Code.INVALID_ARGUMENT, "input"),
        ({"speed": 0.2}, Code.INVALID_ARGUMENT, "speed"),
        ({"speed": 4.1}, Code.INVALID_ARGUMENT, "speed"),
        ({"speed": "NaN"}, Code.INVALID_ARGUMENT, "speed"),
        ({"response_format": "ogg"}, Code.INVALID_ARGUMENT, "response_format"),
        ({"stream_format": "json"}, Code.INVALID_ARGUMENT, "stream_format"),
        ({"voice": 7}, Code.INVALID_ARGUMENT, "voice"),
        ({"voice": {"name": "alloy"}}, Code.INVALID_ARGUMENT, "voice"),
        ({"voice": "../etc"}, Code.INVALID_ARGUMENT, "voice"),
        ({"seed": -1}, Code.INVALID_ARGUMENT, "seed"),
        ({"language": "!"}, Code.INVALID_ARGUMENT, "language"),
        ({"voice": "nobody"}, Code.NOT_FOUND, None),
        ({"model": "gpt-5"}, Code.NOT_FOUND, None),
    ],
)
async def test_what_is_wrong_is_named_as_openai_names_it(
    speaker: Speaker, refusal: Any, fields: dict[str, Any], code: Code, param: str | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await speaker.pieces(**fields)
    told = refusal(caught.value)
    assert told.code is code
    assert told.trailing["x-error-type"] == "invalid_request_error"
    assert told.trailing["x-error-code"] == told.info.reason
    assert told.trailing.get("x-error-param") == param


async def test_the_models_are_listed_and_found(speaker: Speaker, refusal: Any) -> None:
    listed = await speaker.stub.ListOpenAIModels(pb.ListOpenAIModelsRequest())
    assert listed.object == "list"
    assert [(model.id, model.object) for model in listed.data] == [("tone", "model")]
    found = await speaker.stub.GetOpenAIModel(pb.GetOpenAIModelRequest(model="tone"))
    assert found == listed.data[0]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await speaker.stub.GetOpenAIModel(pb.GetOpenAIModelRequest(model="gpt-5"))
    assert refusal(caught.value).code is Code.NOT_FOUND


async def test_a_caller_who_leaves_frees_the_place(start: Any, settled: Any) -> None:
    async with start(pace=0.05) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = Speaker(channel).call(response_format="pcm")
        await call.read()
        assert running.admission.active == 1
        call.cancel()
        await settled(lambda: running.admission.active == 0 and running.engine.active_count == 0)


@pytest.fixture
async def failing(start: Any) -> AsyncIterator[tuple[RunningServer, Speaker]]:
    async with (
        start(pace=0.02, drain_s=0.1) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        yield running, Speaker(channel)


async def test_a_failure_in_the_middle_is_an_event_and_a_status(
    failing: tuple[RunningServer, Speaker],
) -> None:
    running, speaker = failing
    call = speaker.call(input=TEXT * 20, response_format="pcm", stream_format="sse")
    pieces = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012  # it raises in the middle
        async for piece in call:
            pieces.append(piece.data)
            await running.engine.stop()
    assert caught.value.code() is Code.UNAVAILABLE
    event = json.loads(pieces[-1].decode().removeprefix("data: "))
    assert event["type"] == "error"
    assert event["error"]["code"] == "ENGINE_STOPPED"
    assert event["error"]["type"] == "server_error"
