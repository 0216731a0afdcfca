"""The whole path with the models that come with the package: text over a channel, speech back."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from chatterbox.audio.files import wav_header
from chatterbox.process.grpc_options import client_options
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from chatterbox.v1.watermark_service_pb2 import DetectWatermarkRequest
from chatterbox.v1.watermark_service_pb2_grpc import WatermarkServiceStub
from server.app import RunningServer, serving
from server.settings import load_settings, parse_settings

TEXT = "The quick brown fox jumps over the lazy dog."
SEEDED = pb.SynthesisOptions(seed=5)

# One server for the module: loading and warming up takes seconds.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.fixture(scope="module")
def _no_variables() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ENGINE", "FAMILY", "WEIGHTS", "VOICES", "DEVICE"):
            patch.delenv(f"CHATTERBOX_{name}", raising=False)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bundled(_no_variables: None) -> AsyncIterator[RunningServer]:
    async with serving(load_settings(listen="127.0.0.1:0", drain_s=1.0)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stub(bundled: RunningServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(bundled.address, options=client_options()) as channel:
        yield TextToSpeechServiceStub(channel)


def request(text: str, **fields: Any) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(input=pb.SynthesisInput(text=text), **fields)


def samples(responses: list[pb.StreamingSynthesizeResponse]) -> np.ndarray[Any, Any]:
    content = b"".join(response.audio.audio_content for response in responses)
    return np.frombuffer(content, "<i2") / 32768


async def test_a_sentence_becomes_speech_of_its_length(stub: Any) -> None:
    responses = [answer async for answer in stub.Synthesize(request(TEXT, options=SEEDED))]

    sound = samples(responses)
    assert responses[0].started.model == "models/tiny"
    assert 1.5 < len(sound) / 24_000 < 6.0  # a person takes about three seconds
    assert 0.01 < np.sqrt(np.mean(sound**2)) < 0.5
    assert np.abs(sound).max() < 1.0
    assert sum(response.HasField("audio") for response in responses) > 1  # it was streamed


async def test_the_same_seed_gives_the_same_speech_either_way(stub: Any) -> None:
    whole = [answer async for answer in stub.Synthesize(request(TEXT, options=SEEDED))]
    config = pb.StreamingSynthesizeConfig(options=SEEDED)
    messages = [
        pb.StreamingSynthesizeRequest(streaming_config=config),
        *(
            pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=f"{word} "))
            for word in TEXT.split()
        ),
    ]
    live = [answer async for answer in stub.StreamingSynthesize(iter(messages))]

    assert np.array_equal(samples(whole), samples(live))


async def test_voices_differ(stub: Any) -> None:
    sounds = []
    for name in ("voices/ada", "voices/ben"):
        asked = request(TEXT, options=SEEDED, voice=pb.VoiceSelection(name=name))
        sounds.append(samples([answer async for answer in stub.Synthesize(asked)]))
    assert not np.array_equal(*sounds)


async def test_a_client_that_leaves_frees_the_models(
    stub: Any, bundled: RunningServer, settled: Any
) -> None:
    call = stub.Synthesize(request(f"{TEXT} " * 20))
    while not (await call.read()).HasField("audio"):
        pass
    assert bundled.engine.active_count > 0
    call.cancel()
    await settled(lambda: bundled.engine.active_count == 0, timeout_s=5)
    assert bundled.admission.active == 0


async def test_speech_is_marked_streamed_or_not_and_the_server_finds_it(
    bundled: RunningServer, stub: Any
) -> None:
    live = [
        pb.StreamingSynthesizeRequest(
            streaming_config=pb.StreamingSynthesizeConfig(options=SEEDED)
        ),
        *(
            pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=word + " "))
            for word in TEXT.split()
        ),
    ]
    whole = [answer async for answer in stub.Synthesize(request(TEXT, options=SEEDED))]
    streamed = [answer async for answer in stub.StreamingSynthesize(iter(live))]
    assert whole[0].started.watermarked
    async with grpc.aio.insecure_channel(bundled.address, options=client_options()) as channel:
        detector = WatermarkServiceStub(channel)
        for responses in (whole, streamed):
            content = b"".join(response.audio.audio_content for response in responses)
            wav = wav_header(24_000, len(content) // 2) + content
            found = await detector.DetectWatermark(DetectWatermarkRequest(audio_content=wav))
            assert found.watermarked
            assert found.score > 0.9


async def test_speech_in_a_telephones_form_is_as_long_as_it_says(stub: Any) -> None:
    form = pb.AudioConfig(
        audio_encoding=pb.AUDIO_ENCODING_ALAW, sample_rate_hertz=8_000, speaking_rate=1.25
    )
    text = f"{TEXT} [pause:1s] {TEXT}"
    responses = [
        answer async for answer in stub.Synthesize(request(text, options=SEEDED, audio_config=form))
    ]
    content = b"".join(response.audio.audio_content for response in responses)
    summary = responses[-1].summary
    assert responses[0].started.sample_rate_hertz == 8_000
    assert len(content) / 8_000 == pytest.approx(
        summary.audio_duration.ToTimedelta().total_seconds(), abs=1e-3
    )
    assert bytes([0xD5]) * 8_000 in content  # a whole second of A-law's zero


async def test_a_tag_that_tiny_does_not_know_is_not_read(stub: Any) -> None:
    plain = [answer async for answer in stub.Synthesize(request(TEXT, options=SEEDED))]
    tagged = [
        answer async for answer in stub.Synthesize(request("[laugh] " + TEXT, options=SEEDED))
    ]
    codes = [answer.warning.code for answer in tagged if answer.HasField("warning")]
    assert codes == ["TAG_UNKNOWN"]
    np.testing.assert_array_equal(samples(plain), samples(tagged))


async def test_nothing_is_marked_where_the_operator_says_so() -> None:
    settings = parse_settings(
        ["--no-watermark", "--listen", "127.0.0.1:0", "--drain-s", "1"], program="server"
    )
    async with (
        serving(settings) as running,
        grpc.aio.insecure_channel(running.address, options=client_options()) as channel,
    ):
        answers = TextToSpeechServiceStub(channel).Synthesize(request("Hello.", options=SEEDED))
        assert not (await anext(answers.__aiter__())).started.watermarked
