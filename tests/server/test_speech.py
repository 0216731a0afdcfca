"""Both ways to ask for speech, over a real channel: order, continuity, acknowledgements."""

import asyncio
import io
import wave
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub

TEXT = "The first sentence is here. The second one follows it at once."
SEEDED = pb.SynthesisOptions(seed=7)


def kinds(responses: list[pb.StreamingSynthesizeResponse]) -> list[str]:
    return [str(response.WhichOneof("streaming_response")) for response in responses]


def chunks(responses: list[pb.StreamingSynthesizeResponse]) -> list[pb.AudioChunk]:
    return [response.audio for response in responses if response.HasField("audio")]


def sound(responses: list[pb.StreamingSynthesizeResponse]) -> bytes:
    return b"".join(chunk.audio_content for chunk in chunks(responses))


def seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


async def rest_of(call: Any) -> list[pb.StreamingSynthesizeResponse]:
    responses = []
    while (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    return responses


async def spoken(client: Any, method: str) -> list[pb.StreamingSynthesizeResponse]:
    if method == "Synthesize":
        return list(await client.say(TEXT, options=SEEDED))
    return list(await client.send(client.config(options=SEEDED), client.text(TEXT)))


both = pytest.mark.parametrize("method", ["Synthesize", "StreamingSynthesize"])


@both
async def test_started_comes_first_and_the_summary_last(client: Any, method: str) -> None:
    responses = await spoken(client, method)

    assert kinds(responses)[0] == "started"
    assert kinds(responses)[-1] == "summary"
    assert set(kinds(responses)[1:-1]) == {"audio"}


@both
async def test_chunks_follow_one_another_without_gap_or_overlap(client: Any, method: str) -> None:
    responses = await spoken(client, method)

    position = 0
    for count, chunk in enumerate(chunks(responses)):
        assert chunk.sequence == count
        assert seconds(chunk.offset) == pytest.approx(position / 24_000, abs=1e-8)
        assert len(chunk.audio_content) % 2 == 0
        position += len(chunk.audio_content) // 2
    segments = [chunk.segment_index for chunk in chunks(responses)]
    assert segments == sorted(segments)
    assert segments[-1] == responses[-1].summary.segment_count - 1


@both
async def test_the_summary_adds_up(client: Any, method: str) -> None:
    responses = await spoken(client, method)

    summary = responses[-1].summary
    audio_s = len(sound(responses)) / 2 / 24_000
    assert seconds(summary.audio_duration) == pytest.approx(audio_s, abs=1e-6)
    assert summary.character_count == len(TEXT)
    assert 0 < seconds(summary.time_to_first_audio) <= seconds(summary.synthesis_duration)
    assert summary.real_time_factor == pytest.approx(seconds(summary.synthesis_duration) / audio_s)


@both
async def test_started_tells_the_settings_in_force(client: Any, method: str) -> None:
    started = (await spoken(client, method))[0].started

    assert started.model == "models/tone"
    assert started.voice == "voices/alto"
    assert started.audio_encoding == pb.AUDIO_ENCODING_PCM
    assert started.sample_rate_hertz == 24_000
    assert started.seed == 7


async def test_both_methods_give_the_same_audio_for_the_same_seed(client: Any) -> None:
    sentence = "One sentence is one utterance, however it arrives."
    whole = await client.say(sentence, options=SEEDED)
    live = await client.send(client.config(options=SEEDED), client.text(sentence))

    assert sound(whole) == sound(live)


async def test_a_seed_that_was_drawn_gives_the_same_audio_again(client: Any) -> None:
    first = await client.say(TEXT)
    again = await client.say(TEXT, options=pb.SynthesisOptions(seed=first[0].started.seed))

    assert sound(first) == sound(again)


async def test_text_may_be_cut_anywhere(client: Any) -> None:
    pieces = [client.text(TEXT[at : at + 3]) for at in range(0, len(TEXT), 3)]
    responses = await client.send(client.config(options=SEEDED), *pieces, client.text(""))

    assert sound(responses) == sound(await spoken(client, "StreamingSynthesize"))


async def test_linear16_is_a_wav_with_its_header_in_the_first_chunk(client: Any) -> None:
    config = pb.AudioConfig(audio_encoding=pb.AUDIO_ENCODING_LINEAR16)
    responses = await client.say(TEXT, audio_config=config, options=SEEDED)

    assert responses[0].started.audio_encoding == pb.AUDIO_ENCODING_LINEAR16
    content = sound(responses)
    assert content[:4] == b"RIFF"
    assert content[4:8] == content[40:44] == b"\xff\xff\xff\xff"
    assert content[44:] == sound(await client.say(TEXT, options=SEEDED))
    sizes_filled_in = content[:40] + (len(content) - 44).to_bytes(4, "little") + content[44:]
    with wave.open(io.BytesIO(sizes_filled_in)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)


async def test_a_flush_is_acknowledged_once_its_audio_has_been_sent(client: Any) -> None:
    responses = await client.send(
        client.config(max_buffer_delay=Duration(seconds=5)),
        client.text("No end in sight"),
        client.flush("one"),
        client.text("and now"),
        client.flush("two"),
    )

    done = [response.flush_done for response in responses if response.HasField("flush_done")]
    assert [mark.flush_id for mark in done] == ["one", "two"]
    first = kinds(responses).index("flush_done")
    before = len(sound(responses[:first])) // 2
    assert before > 0
    assert seconds(done[0].offset) == pytest.approx(before / 24_000, abs=1e-8)
    assert responses[-1].summary.segment_count == 2


async def test_text_without_an_end_is_spoken_after_the_buffer_delay(client: Any) -> None:
    call = client.stub.StreamingSynthesize()
    await call.write(client.config(max_buffer_delay=Duration(nanos=50_000_000)))
    await call.write(client.text("No full stop"))
    async with asyncio.timeout(20):
        assert (await call.read()).HasField("started")
        assert (await call.read()).HasField("audio")
    call.cancel()


async def test_audio_comes_while_the_client_is_still_sending(client: Any) -> None:
    call = client.stub.StreamingSynthesize()
    await call.write(client.config())
    await call.write(client.text("A whole sentence is here. And "))
    async with asyncio.timeout(20):
        assert (await call.read()).HasField("started")
        assert (await call.read()).HasField("audio")
    await call.write(client.text("there is more."))
    await call.done_writing()
    rest = await rest_of(call)
    assert rest[-1].summary.segment_count == 2


async def test_closing_the_sending_side_drains_what_is_buffered(client: Any) -> None:
    responses = await client.send(
        client.config(max_buffer_delay=Duration(seconds=5)), client.text("still waiting")
    )

    assert sound(responses)
    assert responses[-1].summary.character_count == len("still waiting")


async def test_a_session_without_text_ends_with_an_empty_summary(client: Any) -> None:
    responses = await client.send(client.config())

    assert kinds(responses) == ["started", "summary"]
    assert seconds(responses[-1].summary.audio_duration) == 0


async def test_an_interrupt_drops_the_rest_and_the_session_goes_on(start: Any) -> None:
    async with start(pace=0.01) as running, grpc.aio.insecure_channel(running.address) as channel:
        call = TextToSpeechServiceStub(channel).StreamingSynthesize()
        config = pb.StreamingSynthesizeConfig()
        await call.write(pb.StreamingSynthesizeRequest(streaming_config=config))
        long = "This goes on and on. " * 20
        await call.write(_text(long))
        async with asyncio.timeout(10):
            while not (await call.read()).HasField("audio"):
                pass
            await call.write(pb.StreamingSynthesizeRequest(interrupt=pb.Interrupt()))
            while not (response := await call.read()).HasField("interrupted"):
                assert response.HasField("audio")
            assert "This goes on and on." in response.interrupted.dropped_text
            assert len(response.interrupted.dropped_text) < len(long)
            sent_s = seconds(response.interrupted.offset)

            await call.write(_text("Something else."))
            await call.done_writing()
            rest = await rest_of(call)
        assert kinds(rest)[-1] == "summary"
        assert seconds(chunks(rest)[0].offset) == pytest.approx(sent_s, abs=1e-8)
        assert seconds(rest[-1].summary.audio_duration) < 10


def _text(text: str) -> pb.StreamingSynthesizeRequest:
    return pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=text))


async def test_what_the_model_does_not_know_is_a_warning(client: Any) -> None:
    responses = await client.say(TEXT, options=pb.SynthesisOptions(seed=7, exaggeration=1.0))

    warnings = [response.warning for response in responses if response.HasField("warning")]
    assert [warning.code for warning in warnings] == ["PARAMETER_IGNORED"]
    assert "exaggeration" in warnings[0].message
    assert sound(responses) == sound(await client.say(TEXT, options=SEEDED))


async def test_the_voice_asked_for_speaks(client: Any) -> None:
    voice = pb.VoiceSelection(name="voices/bass", model="models/tone", language_code="en-US")
    responses = await client.say(TEXT, voice=voice, options=SEEDED)

    assert responses[0].started.voice == "voices/bass"
    assert sound(responses) != sound(await client.say(TEXT, options=SEEDED))


@pytest.mark.parametrize(("sent", "kept"), [("call-17", True), ("bad id!", False), (None, False)])
async def test_the_request_id_comes_back(client: Any, sent: str | None, *, kept: bool) -> None:
    metadata = () if sent is None else (("x-request-id", sent),)
    call = client.stub.Synthesize(client.request("Hello."), metadata=metadata)
    responses = [response async for response in call]

    returned = dict(await call.initial_metadata())["x-request-id"]
    assert responses[0].started.request_id == returned
    assert (returned == sent) is kept
    assert returned
