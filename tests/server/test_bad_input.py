"""Whatever a client gets wrong: the right status, the field's name, and the server goes on."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.protocol import EngineState
from chatterbox.engine.sequence import Sequence
from chatterbox.engine.tone import ToneDevice
from chatterbox.v1 import synthesis_pb2 as pb
from server.app import SERVICES, serving
from server.convert import MAX_FLUSH_ID_CHARACTERS
from server.settings import load_settings

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISSING = grpc.StatusCode.NOT_FOUND
NAN = float("nan")


def settings(**fields: Any) -> dict[str, Any]:
    return fields


def options(**fields: Any) -> dict[str, Any]:
    return {"options": pb.SynthesisOptions(**fields)}


def voice(**fields: Any) -> dict[str, Any]:
    return {"voice": pb.VoiceSelection(**fields)}


def encoding(number: int) -> dict[str, Any]:
    return {"audio_config": pb.AudioConfig(audio_encoding=number)}  # type: ignore[arg-type]


# What is wrong, the code, the reason, the field as `Synthesize` names it.
BAD_SETTINGS = [
    (options(temperature=NAN), INVALID, "OUT_OF_RANGE", "options.temperature"),
    (options(temperature=5.1), INVALID, "OUT_OF_RANGE", "options.temperature"),
    (options(temperature=-0.1), INVALID, "OUT_OF_RANGE", "options.temperature"),
    (options(temperature=float("inf")), INVALID, "OUT_OF_RANGE", "options.temperature"),
    (options(exaggeration=2.5), INVALID, "OUT_OF_RANGE", "options.exaggeration"),
    (options(cfg_weight=-1), INVALID, "OUT_OF_RANGE", "options.cfg_weight"),
    (options(cfg_weight=NAN), INVALID, "OUT_OF_RANGE", "options.cfg_weight"),
    (options(top_p=0), INVALID, "OUT_OF_RANGE", "options.top_p"),
    (options(top_p=1.5), INVALID, "OUT_OF_RANGE", "options.top_p"),
    (options(top_k=-1), INVALID, "OUT_OF_RANGE", "options.top_k"),
    (options(min_p=1.01), INVALID, "OUT_OF_RANGE", "options.min_p"),
    (options(repetition_penalty=0.5), INVALID, "OUT_OF_RANGE", "options.repetition_penalty"),
    (options(seed=-1), INVALID, "OUT_OF_RANGE", "options.seed"),
    (voice(name="voices/nobody"), MISSING, "NOT_FOUND", None),
    (voice(model="models/nothing"), MISSING, "NOT_FOUND", None),
    (voice(name="alto"), INVALID, "INVALID_NAME", "voice.name"),
    (voice(name="voices/../../etc"), INVALID, "INVALID_NAME", "voice.name"),
    (voice(name="voices/" + "a" * 5000), INVALID, "INVALID_NAME", "voice.name"),
    (voice(name="models/tone"), INVALID, "INVALID_NAME", "voice.name"),
    (voice(model="tone"), INVALID, "INVALID_NAME", "voice.model"),
    (voice(language_code="de"), INVALID, "LANGUAGE_UNSUPPORTED", "voice.language_code"),
    (voice(language_code="not a tag"), INVALID, "INVALID_LANGUAGE", "voice.language_code"),
    (encoding(4), INVALID, "UNSUPPORTED_ENCODING", "audio_config.audio_encoding"),
    (encoding(99), INVALID, "UNSUPPORTED_ENCODING", "audio_config.audio_encoding"),
]
BAD_TEXTS = [
    ("", "NOTHING_TO_SPEAK"),
    ("   \n\t ", "NOTHING_TO_SPEAK"),
    ("... !? --", "NOTHING_TO_SPEAK"),
    ("\u200b\u200b", "NOTHING_TO_SPEAK"),
    ("word " * 40_000, "TEXT_TOO_LONG"),
]


METHODS = [
    f"/{service.full_name}/{method.name}"
    for service in (descriptor_pool.Default().FindServiceByName(name) for name in SERVICES)
    for method in service.methods
]


async def refused(call: Any, refusal: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


async def check_serves(client: Any) -> None:
    assert (await client.say("All is well."))[-1].HasField("summary")


@pytest.mark.parametrize(("wrong", "code", "reason", "field"), BAD_SETTINGS)
async def test_a_wrong_setting_names_its_field(
    client: Any, refusal: Any, *, wrong: Any, code: Any, reason: str, field: str | None
) -> None:
    seen = await refused(client.say("Hello.", **wrong), refusal)

    assert (seen.code, seen.info.reason) == (code, reason)
    assert seen.info.domain == "chatterbox"
    assert seen.fields == ([] if field is None else [field])
    assert seen.info.metadata["request_id"] == seen.trailing["x-request-id"]
    await check_serves(client)


@pytest.mark.parametrize(("wrong", "code", "reason", "field"), BAD_SETTINGS)
async def test_a_live_session_names_the_field_within_its_config(
    client: Any, refusal: Any, *, wrong: Any, code: Any, reason: str, field: str | None
) -> None:
    call = client.send(client.config(**wrong), client.text("Hello."))
    seen = await refused(call, refusal)

    assert (seen.code, seen.info.reason) == (code, reason)
    assert seen.fields == ([] if field is None else [f"streaming_config.{field}"])
    await check_serves(client)


@pytest.mark.parametrize("wrong", ["voices/nobody", "models/nothing"])
async def test_what_does_not_exist_is_named(client: Any, refusal: Any, wrong: str) -> None:
    key = "name" if wrong.startswith("voices") else "model"
    seen = await refused(client.say("Hello.", **voice(**{key: wrong})), refusal)

    assert seen.detail(error_details_pb2.ResourceInfo).resource_name == wrong
    assert seen.info.metadata["resource"] == wrong


@pytest.mark.parametrize(("text", "reason"), BAD_TEXTS)
async def test_a_text_that_cannot_be_spoken_is_refused(
    client: Any, refusal: Any, text: str, reason: str
) -> None:
    seen = await refused(client.say(text), refusal)

    assert (seen.code, seen.info.reason) == (INVALID, reason)
    assert seen.fields == ["input.text"]
    await check_serves(client)


LONG_WINDED = {"pronunciations": [pb.CustomPronunciation(phrase="a", spoken_as="so it is, " * 12)]}


async def test_pronunciations_that_make_a_book_of_a_page_are_refused(
    client: Any, refusal: Any
) -> None:
    whole = client.say("a " * 1_000, **LONG_WINDED)
    live = client.send(client.config(**LONG_WINDED), client.text("a " * 1_000))
    for call, field in ((whole, ""), (live, "streaming_config.")):
        seen = await refused(call, refusal)
        assert (seen.code, seen.info.reason) == (INVALID, "TOO_MUCH_SPOKEN")
        assert seen.fields == [f"{field}pronunciations"]
    await check_serves(client)


async def test_a_request_without_input_is_refused(client: Any, refusal: Any) -> None:
    async def nothing() -> None:
        async for _ in client.stub.Synthesize(pb.SynthesizeRequest()):
            pass

    seen = await refused(nothing(), refusal)
    assert (seen.code, seen.info.reason, seen.fields) == (INVALID, "REQUIRED", ["input.text"])


def _interrupt(seconds: int, nanos: int = 0) -> pb.StreamingSynthesizeRequest:
    offset = Duration(seconds=seconds, nanos=nanos)
    return pb.StreamingSynthesizeRequest(interrupt=pb.Interrupt(playback_offset=offset))


EMPTY = pb.StreamingSynthesizeRequest()
CONFIG = pb.StreamingSynthesizeRequest(streaming_config=pb.StreamingSynthesizeConfig())
TEXT = pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text="Hello there."))
NO_TEXT = pb.StreamingSynthesizeRequest(input=pb.SynthesisInput())
HALF = pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text="word " * 20_000))
LONG_ID = pb.StreamingSynthesizeRequest(
    flush=pb.Flush(flush_id="x" * (MAX_FLUSH_ID_CHARACTERS + 1))
)


def _delay(seconds: int, nanos: int = 0) -> pb.StreamingSynthesizeRequest:
    delay = Duration(seconds=seconds, nanos=nanos)
    config = pb.StreamingSynthesizeConfig(max_buffer_delay=delay)
    return pb.StreamingSynthesizeRequest(streaming_config=config)


DELAY_FIELD = "streaming_config.max_buffer_delay"


@pytest.mark.parametrize(
    ("messages", "reason", "field"),
    [
        ([], "CONFIG_MISSING", "streaming_config"),
        ([TEXT], "CONFIG_MISSING", "streaming_config"),
        ([EMPTY], "CONFIG_MISSING", "streaming_config"),
        ([TEXT, CONFIG], "CONFIG_MISSING", "streaming_config"),
        ([CONFIG, CONFIG], "CONFIG_REPEATED", "streaming_config"),
        ([CONFIG, TEXT, CONFIG], "CONFIG_REPEATED", "streaming_config"),
        ([CONFIG, EMPTY], "REQUIRED", "streaming_request"),
        ([CONFIG, NO_TEXT], "REQUIRED", "input.text"),
        ([CONFIG, HALF, HALF], "TEXT_TOO_LONG", "input.text"),
        ([CONFIG, LONG_ID], "OUT_OF_RANGE", "flush.flush_id"),
        ([CONFIG, TEXT, _interrupt(-1)], "OUT_OF_RANGE", "interrupt.playback_offset"),
        ([CONFIG, TEXT, _interrupt(0, 2**31 - 1)], "OUT_OF_RANGE", "interrupt.playback_offset"),
        ([_delay(6)], "OUT_OF_RANGE", DELAY_FIELD),
        ([_delay(-1)], "OUT_OF_RANGE", DELAY_FIELD),
        ([_delay(2**62)], "OUT_OF_RANGE", DELAY_FIELD),
    ],
)
async def test_messages_out_of_order_or_range_end_the_session(
    client: Any, refusal: Any, messages: list[Any], reason: str, field: str
) -> None:
    seen = await refused(client.send(*messages), refusal)

    assert (seen.code, seen.info.reason, seen.fields) == (INVALID, reason, [field])
    await check_serves(client)


async def test_a_wrong_message_in_mid_stream_keeps_what_was_sent_before(
    client: Any, refusal: Any
) -> None:
    call = client.stub.StreamingSynthesize()
    await call.write(CONFIG)
    await call.write(TEXT)
    async with asyncio.timeout(20):
        assert (await call.read()).HasField("started")
        assert (await call.read()).HasField("audio")
    await call.write(CONFIG)

    async def rest() -> None:
        while await call.read() is not grpc.aio.EOF:
            pass
        raise AssertionError("the session should have failed")

    seen = await refused(rest(), refusal)
    assert (seen.code, seen.info.reason) == (INVALID, "CONFIG_REPEATED")


async def test_unspeakable_text_in_a_live_session_is_a_warning(client: Any) -> None:
    responses = await client.send(CONFIG, client.text("... "), client.flush("a"), TEXT)

    assert responses[-1].summary.segment_count == 1
    assert any(response.HasField("flush_done") for response in responses)


class Hearing(ToneDevice):
    """A device that loads the voice, as one of models does."""

    def admit(self, sequence: Sequence) -> int:
        sequence.utterance.conditioning()
        return super().admit(sequence)


async def test_a_damaged_voice_fails_its_own_calls_alone(
    voices_folder: Path, refusal: Any, connect: Any
) -> None:
    (voices_folder / "carol" / "conditioning.safetensors").write_bytes(b"no tensors here")
    (voices_folder / "dan" / "voice.json").write_text("not JSON")
    settings = load_settings(listen="127.0.0.1:0", engine="tone", voices=voices_folder)
    async with serving(settings, engine=DeviceEngine(Hearing())) as running:
        async with connect(running) as client:
            for name in ("voices/carol", "voices/dan"):
                seen = await refused(client.say("Hello.", **voice(name=name)), refusal)
                assert seen.code is grpc.StatusCode.DATA_LOSS
                assert seen.info.reason == "CHECKPOINT_INVALID"
        assert running.engine.state is EngineState.READY
        assert running.engine.active_count == running.admission.active == 0


async def test_a_message_beyond_the_size_limit_is_refused(client: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.say("x" * (13 * 1024 * 1024))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await check_serves(client)


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_the_callers_fault(
    client: Any, channel: grpc.aio.Channel, refusal: Any, method: str
) -> None:
    seen = await refused(channel.stream_stream(method)(iter([b"\xff\xff\xff"])).read(), refusal)

    assert (seen.code, seen.info.reason) == (INVALID, "UNREADABLE")
    assert seen.info.metadata["request_id"] == seen.trailing["x-request-id"]
    await check_serves(client)


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/chatterbox.v1.TextToSpeechService/Sing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
