"""Voices over gRPC: made, changed, removed, given out and taken in; and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask

from chatterbox.errors import StorageFull
from chatterbox.v1 import synthesis_pb2, voice_pb2
from chatterbox.v1 import voices_service_pb2 as pb
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceStub
from chatterbox.voices.folder_store import FolderStore
from server.voices import MAX_UNARY_AUDIO_BYTES

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXISTS = grpc.StatusCode.ALREADY_EXISTS
MISSING = grpc.StatusCode.NOT_FOUND
NOT_NOW = grpc.StatusCode.FAILED_PRECONDITION
MIA = voice_pb2.Voice(
    display_name="Mia",
    description="Calm.",
    language_code="en-GB",
    gender=voice_pb2.VOICE_GENDER_FEMALE,
)


@pytest.fixture
def voices_dir(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def running(start: Any, voices_dir: Path) -> AsyncIterator[Any]:
    async with start(drain_s=1.0, voices_dir=voices_dir) as server:
        yield server


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return VoicesServiceStub(channel)


def creation(recording: bytes, **fields: Any) -> pb.CreateVoiceRequest:
    told = {"voice_id": "mia", "voice": MIA, "audio": recording, "consent": True}
    return pb.CreateVoiceRequest(**told | fields)


def pieces(data: bytes, *, size: int = 5_000) -> list[HttpBody]:
    return [HttpBody(data=data[at : at + size]) for at in range(0, len(data), size)]


async def refused(call: Any, refusal: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def ids(stub: Any) -> list[str]:
    listed = await stub.ListVoices(pb.ListVoicesRequest())
    return [voice.name.removeprefix("voices/") for voice in listed.voices]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_voice_is_made_from_a_recording(stub: Any, recording: bytes) -> None:
    made = await stub.CreateVoice(creation(recording))

    assert made.name == "voices/mia"
    assert (made.display_name, made.description) == ("Mia", "Calm.")
    assert (made.language_code, made.gender) == ("en-GB", voice_pb2.VOICE_GENDER_FEMALE)
    assert list(made.models) == ["models/tone"]
    assert not made.read_only
    assert made.create_time.seconds >= made.consent_time.seconds > 1_700_000_000
    assert made.quality.duration.seconds >= 6
    assert 0.8 < made.quality.speech_ratio <= 1.0
    assert await stub.GetVoice(pb.GetVoiceRequest(name="voices/mia")) == made
    assert await ids(stub) == ["alto", "bass", "mia"]


async def test_a_recording_may_come_in_pieces(stub: Any, recording: bytes) -> None:
    first = pb.UploadVoiceRequest(voice_id="mia", voice=MIA, consent=True)
    rest = [pb.UploadVoiceRequest(audio=piece) for piece in pieces(recording)]
    made = await stub.UploadVoice(iter([first, *rest]))
    whole = await stub.CreateVoice(creation(recording, voice_id="zoe"))
    assert made.quality == whole.quality


async def test_only_to_look_makes_no_voice(stub: Any, recording: bytes) -> None:
    seen = await stub.CreateVoice(creation(recording, validate_only=True))
    assert seen.quality.speech_ratio > 0.8
    assert not seen.HasField("create_time")
    assert await ids(stub) == ["alto", "bass"]


async def test_a_voice_that_was_made_speaks(stub: Any, client: Any, recording: bytes) -> None:
    await stub.CreateVoice(creation(recording))
    said = await client.say("Hello.", voice=synthesis_pb2.VoiceSelection(name="voices/mia"))
    assert said[0].started.voice == "voices/mia"
    assert said[-1].HasField("summary")


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"consent": False}, "CONSENT_REQUIRED", "consent"),
        ({"voice_id": ""}, "INVALID_ID", "voice_id"),
        ({"voice_id": "../mia"}, "INVALID_ID", "voice_id"),
        ({"voice_id": "voices/mia"}, "INVALID_ID", "voice_id"),
        ({"voice_id": "a" * 64}, "INVALID_ID", "voice_id"),
        ({"audio": b""}, "REQUIRED", "audio"),
        ({"audio": b"no sound"}, "AUDIO_UNREADABLE", "audio"),
        ({"audio": bytes(MAX_UNARY_AUDIO_BYTES + 1)}, "TOO_LARGE", "audio"),
        ({"voice": voice_pb2.Voice(display_name="x" * 101)}, "OUT_OF_RANGE", "voice.display_name"),
        ({"voice": voice_pb2.Voice(description="\x00")}, "OUT_OF_RANGE", "voice.description"),
        (
            {"voice": voice_pb2.Voice(language_code="no tag")},
            "INVALID_LANGUAGE",
            "voice.language_code",
        ),
    ],
)
async def test_what_makes_no_voice_names_its_field(
    stub: Any, refusal: Any, recording: bytes, *, fields: Any, reason: str, field: str
) -> None:
    seen = await refused(stub.CreateVoice(creation(recording, **fields)), refusal)
    assert (seen.code, seen.info.reason, seen.fields) == (INVALID, reason, [field])
    assert await ids(stub) == ["alto", "bass"]


async def test_an_id_that_is_taken_is_refused(stub: Any, refusal: Any, recording: bytes) -> None:
    made = await stub.CreateVoice(creation(recording))
    for taken in ("mia", "alto"):
        other = creation(recording, voice_id=taken, voice=voice_pb2.Voice(display_name="Other"))
        seen = await refused(stub.CreateVoice(other), refusal)
        assert (seen.code, seen.info.metadata["resource"]) == (EXISTS, f"voices/{taken}")
    assert await stub.GetVoice(pb.GetVoiceRequest(name="voices/mia")) == made


async def test_two_servers_share_a_folder_and_make_a_voice_once(
    start: Any, voices_dir: Path, recording: bytes, refusal: Any
) -> None:
    async with (
        start(voices_dir=voices_dir) as one,
        start(voices_dir=voices_dir) as two,
        grpc.aio.insecure_channel(one.address) as first,
        grpc.aio.insecure_channel(two.address) as second,
    ):
        stubs = [VoicesServiceStub(first), VoicesServiceStub(second)]
        calls = [stub.CreateVoice(creation(recording)) for stub in stubs]
        results = await asyncio.gather(*calls, return_exceptions=True)
        made = [result for result in results if isinstance(result, voice_pb2.Voice)]
        (error,) = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
        assert len(made) == 1
        assert refusal(error).code is EXISTS
        # What one server has done the other knows at once: a balancer sends the next call there.
        for stub in stubs:
            assert await ids(stub) == ["alto", "bass", "mia"]
        for name in ("Mia the Second", "Mia the Third"):
            change = pb.UpdateVoiceRequest(
                voice=voice_pb2.Voice(name="voices/mia", display_name=name),
                update_mask=FieldMask(paths=["display_name"]),
            )
            await stubs[0].UpdateVoice(change)
            seen = await stubs[1].GetVoice(pb.GetVoiceRequest(name="voices/mia"))
            assert seen.display_name == name
        await stubs[0].DeleteVoice(pb.DeleteVoiceRequest(name="voices/mia"))
        assert await ids(stubs[1]) == ["alto", "bass"]


async def test_what_is_told_of_a_voice_can_be_changed(stub: Any, recording: bytes) -> None:
    await stub.CreateVoice(creation(recording))

    async def changed(mask: list[str], **fields: Any) -> voice_pb2.Voice:
        voice = voice_pb2.Voice(name="voices/mia", **fields)
        request = pb.UpdateVoiceRequest(voice=voice, update_mask=FieldMask(paths=mask))
        found: voice_pb2.Voice = await stub.UpdateVoice(request)
        return found

    one = await changed(["description"], description="", display_name="Ignored")
    assert (one.display_name, one.description) == ("Mia", "")
    two = await changed([], display_name="Maria")
    assert (two.display_name, two.language_code) == ("Maria", "en-GB")
    three = await changed(["*"], display_name="Mia", language_code="de")
    assert (three.description, three.language_code) == ("", "de")
    assert three.gender == voice_pb2.VOICE_GENDER_UNSPECIFIED
    assert three.update_time.ToNanoseconds() > three.create_time.ToNanoseconds()
    assert three.quality == one.quality
    assert await stub.GetVoice(pb.GetVoiceRequest(name="voices/mia")) == three


IMPOSSIBLE_CHANGES = [
    ({"name": "voices/alto", "display_name": "x"}, [], NOT_NOW),
    ({"name": "voices/nobody", "display_name": "x"}, [], MISSING),
    ({"name": "voices/mia"}, ["name"], INVALID),
    ({"name": "voices/mia"}, ["quality"], INVALID),
    ({"name": "voices/mia"}, ["display_name"], INVALID),
    ({"name": "voices/mia"}, [], INVALID),
    ({"name": "mia", "display_name": "x"}, [], INVALID),
]


async def test_a_change_that_cannot_be_is_refused(
    stub: Any, refusal: Any, recording: bytes
) -> None:
    made = await stub.CreateVoice(creation(recording))
    for voice, mask, code in IMPOSSIBLE_CHANGES:
        request = pb.UpdateVoiceRequest(
            voice=voice_pb2.Voice(**voice), update_mask=FieldMask(paths=mask)
        )
        assert (await refused(stub.UpdateVoice(request), refusal)).code is code
    assert await stub.GetVoice(pb.GetVoiceRequest(name="voices/mia")) == made


@pytest.mark.parametrize(
    ("name", "code"),
    [("voices/alto", NOT_NOW), ("voices/nobody", MISSING), ("voices/../../etc", INVALID)],
)
async def test_a_voice_that_cannot_be_deleted(
    stub: Any, refusal: Any, name: str, code: Any
) -> None:
    seen = await refused(stub.DeleteVoice(pb.DeleteVoiceRequest(name=name)), refusal)
    assert seen.code is code
    assert await ids(stub) == ["alto", "bass"]


async def test_a_stream_goes_on_when_its_voice_is_deleted(
    start: Any, connect: Any, voices_dir: Path, recording: bytes, refusal: Any
) -> None:
    async with (
        start(pace=0.005, voices_dir=voices_dir) as running,
        connect(running) as client,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = VoicesServiceStub(channel)
        await stub.CreateVoice(creation(recording))
        selection = synthesis_pb2.VoiceSelection(name="voices/mia")
        text = "One more sentence to be spoken. " * 5
        answers = aiter(client.stub.Synthesize(client.request(text, voice=selection)))
        seen = [await anext(answers) for _ in range(2)]
        await stub.DeleteVoice(pb.DeleteVoiceRequest(name="voices/mia"))
        assert await ids(stub) == ["alto", "bass"]
        seen += [answer async for answer in answers]
        assert seen[-1].HasField("summary")
        gone = await refused(client.say("Hello.", voice=selection), refusal)
        assert gone.code is MISSING


async def test_a_full_disk_is_told_and_the_server_goes_on(
    stub: Any, client: Any, refusal: Any, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: FolderStore, voice_id: str, files: Any) -> None:
        raise StorageFull("there is no room for another voice on this installation")

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "create", full)
        seen = await refused(stub.CreateVoice(creation(recording)), refusal)
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    assert await ids(stub) == ["alto", "bass"]
    assert (await client.say("All is well."))[-1].HasField("summary")
    assert (await stub.CreateVoice(creation(recording))).name == "voices/mia"


async def exported(stub: Any, name: str) -> bytes:
    answers = stub.ExportVoice(pb.ExportVoiceRequest(name=name))
    return b"".join([answer.data async for answer in answers])


async def test_a_voice_is_given_out_and_taken_in(stub: Any, recording: bytes, refusal: Any) -> None:
    made = await stub.CreateVoice(creation(recording))
    content = await exported(stub, "voices/mia")
    messages = [pb.ImportVoiceRequest(archive=piece) for piece in pieces(content, size=100_000)]
    assert (await refused(stub.ImportVoice(iter(messages)), refusal)).code is EXISTS

    await stub.DeleteVoice(pb.DeleteVoiceRequest(name="voices/mia"))
    back = await stub.ImportVoice(iter(messages))
    assert (back.name, back.description, back.consent_time) == (
        made.name,
        made.description,
        made.consent_time,
    )
    assert back.quality.duration == made.quality.duration
    messages[0].voice_id = "zoe"
    assert (await stub.ImportVoice(iter(messages))).name == "voices/zoe"


@pytest.mark.parametrize("name", ["voices/nobody", "voices/../alto"])
async def test_what_is_not_there_is_not_given_out(stub: Any, refusal: Any, name: str) -> None:
    assert (await refused(exported(stub, name), refusal)).code in (MISSING, INVALID)


async def test_what_was_not_given_out_is_not_taken_in(stub: Any, refusal: Any) -> None:
    for messages in ([], [pb.ImportVoiceRequest(archive=HttpBody(data=b"PK nothing"))]):
        seen = await refused(stub.ImportVoice(iter(messages)), refusal)
        assert (seen.code, seen.fields) == (INVALID, ["archive"])
    assert await ids(stub) == ["alto", "bass"]


async def test_an_upload_ends_at_its_bound(running: Any, refusal: Any) -> None:
    def endless() -> Iterator[pb.UploadVoiceRequest]:
        yield pb.UploadVoiceRequest(voice_id="mia", consent=True)
        while True:
            yield pb.UploadVoiceRequest(audio=HttpBody(data=bytes(1_000_000)))

    def upload() -> None:
        # Not asynchronous: there, a write that meets the call's end may replace the status.
        with grpc.insecure_channel(running.address) as channel:
            VoicesServiceStub(channel).UploadVoice(endless())

    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(upload)
    seen = refusal(caught.value)
    assert (seen.code, seen.info.reason) == (INVALID, "TOO_LARGE")


async def test_who_leaves_in_the_middle_leaves_nothing(
    stub: Any, recording: bytes, voices_dir: Path, running: Any
) -> None:
    call = stub.CreateVoice(creation(recording))
    await asyncio.sleep(0.05)
    call.cancel()
    half = stub.UploadVoice()
    await half.write(pb.UploadVoiceRequest(voice_id="zoe", consent=True))
    half.cancel()
    made = await stub.CreateVoice(creation(recording, voice_id="later"))
    assert made.name == "voices/later"
    assert names_in(voices_dir) == {".generation", "later"}


def reference(recording: bytes, *, consent: bool = True) -> dict[str, Any]:
    audio = synthesis_pb2.ReferenceAudio(content=recording, consent=consent)
    return {"voice": synthesis_pb2.VoiceSelection(reference_audio=audio)}


async def test_a_recording_may_come_with_the_text(client: Any, stub: Any, recording: bytes) -> None:
    said = await client.say("Hello.", **reference(recording))
    assert said[0].started.voice == ""
    assert said[-1].HasField("summary")
    live = await client.send(client.config(**reference(recording)), client.text("Hello."))
    assert live[-1].HasField("summary")
    assert await ids(stub) == ["alto", "bass"]


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"consent": False}, "CONSENT_REQUIRED", "voice.reference_audio.consent"),
        ({"content": b""}, "REQUIRED", "voice.reference_audio.content"),
        ({"content": b"no sound"}, "AUDIO_UNREADABLE", "voice.reference_audio.content"),
        ({"content": bytes(11_000_000)}, "TOO_LARGE", "voice.reference_audio.content"),
    ],
)
async def test_a_bad_recording_with_the_text_names_its_field(
    client: Any, refusal: Any, recording: bytes, *, changed: Any, reason: str, field: str
) -> None:
    wrong = reference(recording)
    for name, value in changed.items():
        setattr(wrong["voice"].reference_audio, name, value)
    seen = await refused(client.say("Hello.", **wrong), refusal)
    assert (seen.code, seen.info.reason, seen.fields) == (INVALID, reason, [field])
    live = client.send(client.config(**wrong), client.text("Hello."))
    assert (await refused(live, refusal)).fields == [f"streaming_config.{field}"]


async def test_a_recording_and_a_name_are_not_both_the_voice(
    client: Any, refusal: Any, recording: bytes
) -> None:
    both = reference(recording)
    both["voice"].name = "voices/alto"
    seen = await refused(client.say("Hello.", **both), refusal)
    assert (seen.code, seen.fields) == (INVALID, ["voice.reference_audio"])
