"""Voices and models: lists in pages, one by name."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from chatterbox.v1 import models_service_pb2, voice_pb2, voices_service_pb2
from chatterbox.v1.models_service_pb2_grpc import ModelsServiceStub
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceStub

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def page(size: int = 0, token: str = "") -> voices_service_pb2.ListVoicesRequest:
    return voices_service_pb2.ListVoicesRequest(page_size=size, page_token=token)


async def test_all_voices_are_listed_by_name(start: Any, voices_folder: Path) -> None:
    async with (
        start(voices=voices_folder) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        answer = await VoicesServiceStub(channel).ListVoices(page())

    names = [voice.name for voice in answer.voices]
    assert names == sorted(names)
    assert {"voices/alto", "voices/carol", "voices/gina"} < set(names)
    assert answer.next_page_token == ""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
async def test_pages_together_are_the_whole_list(
    start: Any, voices_folder: Path, size: int
) -> None:
    async with (
        start(voices=voices_folder) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        stub = VoicesServiceStub(channel)
        names, token = [], ""
        while True:
            answer = await stub.ListVoices(page(size, token))
            assert 1 <= len(answer.voices) <= size
            names += [voice.name for voice in answer.voices]
            token = answer.next_page_token
            if not token:
                break
        whole = await stub.ListVoices(page(1_000_000))

    assert names == [voice.name for voice in whole.voices]
    assert len(names) == 7


async def test_a_voice_tells_what_it_is(channel: grpc.aio.Channel) -> None:
    request = voices_service_pb2.GetVoiceRequest(name="voices/bass")
    voice = await VoicesServiceStub(channel).GetVoice(request)

    assert voice.name == "voices/bass"
    assert voice.display_name == "Bass"
    assert voice.gender == voice_pb2.VOICE_GENDER_MALE
    assert voice.language_code == "en"
    assert list(voice.models) == ["models/tone"]


async def test_models_tell_their_defaults_and_languages(channel: grpc.aio.Channel) -> None:
    stub = ModelsServiceStub(channel)
    answer = await stub.ListModels(models_service_pb2.ListModelsRequest())
    one = await stub.GetModel(models_service_pb2.GetModelRequest(name="models/tone"))

    assert list(answer.models) == [one]
    assert one.sample_rate_hertz == 24_000
    assert list(one.language_codes) == ["en"]
    assert one.default_options.temperature == pytest.approx(0.8)
    assert not one.default_options.HasField("exaggeration")


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (page(-1), INVALID, "page_size"),
        (page(0, "no token of ours"), INVALID, "page_token"),
        (page(0, "A" * 1000), INVALID, "page_token"),
        (page(0, "\x00é"), INVALID, "page_token"),
    ],
)
async def test_a_wrong_page_is_refused(
    channel: grpc.aio.Channel, refusal: Any, *, request_: Any, code: Any, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await VoicesServiceStub(channel).ListVoices(request_)
    seen = refusal(caught.value)
    assert (seen.code, seen.fields) == (code, [field])
    assert seen.trailing["x-request-id"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("voices/nobody", grpc.StatusCode.NOT_FOUND),
        ("voices/", INVALID),
        ("", INVALID),
        ("voices/../x", INVALID),
        ("models/tone", INVALID),
    ],
)
async def test_a_voice_that_is_not_there(
    channel: grpc.aio.Channel, refusal: Any, name: str, code: Any
) -> None:
    request = voices_service_pb2.GetVoiceRequest(name=name)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await VoicesServiceStub(channel).GetVoice(request)
    assert refusal(caught.value).code is code


async def test_a_model_that_is_not_there(channel: grpc.aio.Channel, refusal: Any) -> None:
    request = models_service_pb2.GetModelRequest(name="models/nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ModelsServiceStub(channel).GetModel(request)
    seen = refusal(caught.value)
    assert (seen.code, seen.info.metadata["resource"]) == (
        grpc.StatusCode.NOT_FOUND,
        "models/nothing",
    )
