"""VoiceConversionService over a real socket: what goes in, what comes out, what is refused."""

import asyncio
import io
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import av
import grpc
import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import AudioEncoder, Encoding
from chatterbox.audio.files import pcm16, wav_bytes, wav_header
from chatterbox.v1 import conversion_pb2 as pb
from chatterbox.v1 import synthesis_pb2
from chatterbox.v1.voice_conversion_service_pb2_grpc import VoiceConversionServiceStub

RATE = 24_000
PCM = pb.SourceFormat(encoding=pb.SOURCE_ENCODING_PCM, sample_rate_hertz=RATE)
Responses = list[pb.ConvertVoiceResponse]


def tone(seconds: float) -> Clip:
    moments = np.arange(int(seconds * RATE)) / RATE
    return Clip((0.4 * np.sin(2 * np.pi * 440 * moments)).astype(np.float32), RATE)


def encoded(clip: Clip, encoding: Encoding) -> bytes:
    encoder = AudioEncoder(encoding, clip.sample_rate_hz)
    return encoder.encode(clip.samples) + encoder.finish()


def webm(clip: Clip) -> bytes:
    """Opus in WebM, as a browser records it."""
    written = io.BytesIO()
    with av.open(written, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(clip.samples[None], format="fltp", layout="mono")
        frame.sample_rate = clip.sample_rate_hz
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return written.getvalue()


def config(**fields: Any) -> pb.ConvertVoiceRequest:
    return pb.ConvertVoiceRequest(config=pb.ConvertVoiceConfig(**fields))


def audio(data: bytes, size: int = 10_000) -> Iterator[pb.ConvertVoiceRequest]:
    for start in range(0, len(data), size):
        yield pb.ConvertVoiceRequest(audio=data[start : start + size])


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return VoiceConversionServiceStub(channel)


async def sent(stub: Any, *requests: pb.ConvertVoiceRequest) -> Responses:
    async with asyncio.timeout(30):
        return [answer async for answer in stub.ConvertVoice(iter(requests))]


def content(answers: Responses) -> bytes:
    return b"".join(answer.audio.audio_content for answer in answers)


def samples(answers: Responses) -> np.ndarray:
    return np.frombuffer(content(answers), "<i2") / 32_768


def pitch_hz(heard: np.ndarray) -> int:
    """The strongest frequency of the second second."""
    middle = heard[RATE : 2 * RATE]
    return int(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax())


async def test_sound_comes_out_as_it_goes_in(stub: Any) -> None:
    answers = await sent(stub, config(source=PCM, seed=7), *audio(pcm16(tone(5.5))))
    kinds = [answer.WhichOneof("convert_response") for answer in answers]
    assert kinds[0] == "started"
    assert kinds[-1] == "summary"
    assert set(kinds[1:-1]) == {"audio"}
    started = answers[0].started
    assert (started.model, started.voice, started.seed) == ("models/tone", "voices/alto", 7)
    assert (started.audio_encoding, started.sample_rate_hertz) == (
        synthesis_pb2.AUDIO_ENCODING_PCM,
        RATE,
    )
    assert len(samples(answers)) == pytest.approx(5.5 * RATE, abs=1)
    assert pitch_hz(samples(answers)) == 440
    summary = answers[-1].summary
    assert summary.source_duration.ToTimedelta().total_seconds() == 5.5
    assert summary.audio_duration.ToTimedelta().total_seconds() == pytest.approx(5.5, abs=1e-4)
    chunks = [answer.audio for answer in answers[1:-1]]
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    ends = np.cumsum([len(chunk.audio_content) // 2 for chunk in chunks])
    offsets = [chunk.offset.ToTimedelta().total_seconds() for chunk in chunks]
    assert offsets[1:] == pytest.approx(list(ends[:-1] / RATE), abs=1e-5)


async def test_sound_is_there_before_the_source_has_ended(stub: Any) -> None:
    async with asyncio.timeout(20):
        call = stub.ConvertVoice()
        await call.write(config(source=PCM))
        assert (await call.read()).HasField("started")
        for request in audio(pcm16(tone(2.5))):
            await call.write(request)
        assert (await call.read()).HasField("audio")
        await call.done_writing()
        rest = []
        while (answer := await call.read()) is not grpc.aio.EOF:
            rest.append(answer)
    assert rest[-1].HasField("summary")


@pytest.mark.parametrize(
    "make",
    [
        wav_bytes,
        lambda clip: wav_header(RATE) + pcm16(clip),  # of no known length
        lambda clip: encoded(clip, Encoding.FLAC),
        lambda clip: encoded(clip, Encoding.MP3),
        lambda clip: encoded(clip, Encoding.OGG_OPUS),
        webm,
    ],
    ids=["wav", "streamed wav", "flac", "mp3", "opus", "webm"],
)
async def test_every_container_is_converted(stub: Any, make: Any) -> None:
    answers = await sent(stub, config(), *audio(make(tone(4.0)), 3_333))
    assert len(samples(answers)) == pytest.approx(4.0 * RATE, abs=0.1 * RATE)
    assert pitch_hz(samples(answers)) == 440


async def test_what_leaves_has_the_form_asked_for(stub: Any) -> None:
    form = synthesis_pb2.AudioConfig(
        audio_encoding=synthesis_pb2.AUDIO_ENCODING_FLAC, sample_rate_hertz=16_000, speaking_rate=2
    )
    answers = await sent(stub, config(source=PCM, audio_config=form), *audio(pcm16(tone(6.0))))
    with av.open(io.BytesIO(content(answers))) as file:
        assert file.streams.audio[0].rate == 16_000
        count = sum(frame.samples for frame in file.decode(audio=0))
    assert count == pytest.approx(3.0 * 16_000, abs=1_600)


async def test_a_recording_is_converted_as_a_stream_is(stub: Any) -> None:
    data = wav_bytes(tone(4.0))
    live = await sent(stub, config(seed=1), *audio(data))
    request = pb.ConvertRecordingRequest(seed=1)
    request.audio.data = data
    whole = [answer async for answer in stub.ConvertRecording(request)]
    assert whole[0].started.voice == live[0].started.voice
    assert content(whole) == content(live)
    assert whole[-1].HasField("summary")


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.wav", wav_bytes(tone(0.2)))
    return packed.getvalue()


def float_wav(values: list[float]) -> bytes:
    data = np.array(values, "<f4").tobytes()
    head = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data"
    body += struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "AUDIO_UNREADABLE"),
        (bytes(300_000), "AUDIO_UNREADABLE"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n" * 50, "AUDIO_UNREADABLE"),
        (archive(), "AUDIO_UNREADABLE"),
        (wav_header(RATE), "AUDIO_UNREADABLE"),
        (float_wav([float("nan")] * 50_000), "AUDIO_UNREADABLE"),
        (wav_bytes(tone(0.05)), "TOO_SHORT"),
    ],
    ids=["nothing", "zeros", "ffconcat", "zip", "header", "nan", "an instant"],
)
async def test_what_is_no_speech_is_refused_and_the_server_goes_on(
    stub: Any, running: Any, refusal: Any, data: bytes, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sent(stub, config(), *audio(data))
    found = refusal(caught.value)
    assert (found.code, found.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert found.fields == ["audio"]
    assert running.admission.active == 0
    assert (await sent(stub, config(), *audio(wav_bytes(tone(1.0)))))[-1].HasField("summary")


@pytest.mark.parametrize(
    ("requests", "field", "reason"),
    [
        ([], "config", "CONFIG_MISSING"),
        ([pb.ConvertVoiceRequest(audio=b"a")], "config", "CONFIG_MISSING"),
        ([config(), config()], "config", "CONFIG_REPEATED"),
        ([config(), pb.ConvertVoiceRequest()], "convert_request", "REQUIRED"),
        ([config(), pb.ConvertVoiceRequest(audio=bytes(2**20 + 1))], "audio", "TOO_LARGE"),
        ([config(seed=-1)], "config.seed", "OUT_OF_RANGE"),
        ([config(voice={"name": "ada"})], "config.voice.name", "INVALID_NAME"),
        ([config(audio_config={"speaking_rate": 9})], "config.audio_config.speaking_rate",
         "OUT_OF_RANGE"),
        ([config(source={"encoding": 9})], "config.source.encoding", "UNSUPPORTED_ENCODING"),
        ([config(source={"encoding": 2})], "config.source.sample_rate_hertz", "OUT_OF_RANGE"),
    ],
)  # fmt: skip
async def test_wrong_settings_are_refused_by_name(
    stub: Any, refusal: Any, requests: Any, field: str, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sent(stub, *requests)
    found = refusal(caught.value)
    assert (found.code, found.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert found.fields == [field]


async def test_a_recording_is_bounded(stub: Any, refusal: Any) -> None:
    for data, reason in ((b"", "REQUIRED"), (bytes(12 * 2**20 + 1), "TOO_LARGE")):
        request = pb.ConvertRecordingRequest()
        request.audio.data = data
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [answer async for answer in stub.ConvertRecording(request)]
        assert refusal(caught.value).info.reason == reason


async def test_a_file_cut_off_is_converted_as_far_as_it_goes(stub: Any) -> None:
    data = encoded(tone(4.0), Encoding.FLAC)
    answers = await sent(stub, config(), *audio(data[: len(data) // 2]))
    assert 1.0 < len(samples(answers)) / RATE < 3.0
    assert answers[-1].HasField("summary")


async def test_half_a_sample_at_the_end_is_told(stub: Any) -> None:
    answers = await sent(stub, config(source=PCM), *audio(pcm16(tone(1.0)) + b"x"))
    codes = [answer.warning.code for answer in answers if answer.HasField("warning")]
    assert codes == ["SOURCE_DAMAGED"]
    assert len(samples(answers)) == pytest.approx(RATE, abs=1)


async def test_who_leaves_in_the_middle_leaves_nothing(
    stub: Any, running: Any, settled: Any
) -> None:
    for source in (PCM, None):
        call = stub.ConvertVoice()
        await call.write(config(source=source))
        await call.read()
        for request in audio(wav_bytes(tone(4.0))):
            await call.write(request)
        await call.read()
        assert running.admission.active == 1
        call.cancel()
        await settled(lambda: running.admission.active == 0)


async def test_who_sends_nothing_is_not_waited_for_long(start: Any, refusal: Any) -> None:
    async with (
        start(idle_timeout_s=0.2) as running,
        asyncio.timeout(20),
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        for source in (PCM, None):
            call = VoiceConversionServiceStub(channel).ConvertVoice()
            await call.write(config(source=source))
            assert (await call.read()).HasField("started")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert refusal(caught.value).info.reason == "SESSION_IDLE"
        assert running.admission.active == 0


async def test_who_sends_faster_than_is_listened_has_to_wait(stub: Any) -> None:
    """Nothing is read of what is converted, so nothing more is taken than windows hold."""
    call = stub.ConvertVoice()
    await call.write(config(source=PCM))
    piece, taken = pb.ConvertVoiceRequest(audio=bytes(2**19)), 0

    async def send() -> None:
        nonlocal taken
        while True:
            await call.write(piece)
            taken += 2**19

    sending, before = asyncio.create_task(send()), -1
    while before != taken:  # until nothing more is taken
        before = taken
        await asyncio.sleep(1.0)
    assert taken < 40 * 2**20
    call.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_too_many_at_once_are_told_when_to_try_again(
    stub: Any, refusal: Any, running: Any, settled: Any
) -> None:
    from google.rpc.error_details_pb2 import RetryInfo

    calls = []
    for _ in range(8):
        call = stub.ConvertVoice()
        await call.write(config(source=PCM))
        await call.read()
        calls.append(call)
    refused = stub.ConvertVoice()
    await refused.write(config(source=PCM))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await refused.read()
    found = refusal(caught.value)
    assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert found.detail(RetryInfo).retry_delay.seconds >= 1
    for call in calls:
        call.cancel()
    await settled(lambda: running.admission.active == 0)
    assert (await sent(stub, config(source=PCM), *audio(pcm16(tone(1.0)))))[-1].HasField("summary")


async def test_minutes_stream_through(stub: Any) -> None:
    """Ten minutes, sent and read at the same time."""
    second = pcm16(tone(1.0))

    async def requests() -> Any:
        yield config(source=PCM)
        for _ in range(600):
            yield pb.ConvertVoiceRequest(audio=second)

    count = 0
    async with asyncio.timeout(100):
        async for answer in stub.ConvertVoice(requests()):
            assert len(answer.audio.audio_content) < 2**18, "stretch by stretch"
            count += len(answer.audio.audio_content)
    assert count / 2 / RATE == pytest.approx(600, abs=0.01)
