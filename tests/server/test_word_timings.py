"""Word timings on the wire, on the clock of what is heard."""

import grpc
import pytest

from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.app import serving
from server.settings import load_settings

TEXT = "These words are said one after the other. And these follow in a sentence of their own."


async def answers(request: pb.SynthesizeRequest) -> list[pb.StreamingSynthesizeResponse]:
    settings = load_settings(engine="tone", listen="127.0.0.1:0")
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        return [each async for each in TextToSpeechServiceStub(channel).Synthesize(request)]


def asked(**audio: float) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(
        input=pb.SynthesisInput(text=TEXT),
        audio_config=pb.AudioConfig(**audio),  # type: ignore[arg-type]
        enable_word_timings=True,
    )


def words_of(told: list[pb.StreamingSynthesizeResponse]) -> list[pb.WordTiming]:
    return [word for each in told for word in each.word_timings.words]


def seconds(word: pb.WordTiming) -> tuple[float, float]:
    return word.start_offset.ToNanoseconds() / 1e9, word.end_offset.ToNanoseconds() / 1e9


async def test_every_word_is_told_once_in_order() -> None:
    told = await answers(asked())
    words = words_of(told)
    assert [word.word for word in words] == TEXT.split()
    edges = [edge for word in words for edge in seconds(word)]
    assert edges == sorted(edges)
    assert edges[-1] <= told[-1].summary.audio_duration.ToNanoseconds() / 1e9 + 1e-6
    assert {word.segment_index for word in words} == {
        each.audio.segment_index for each in told if each.HasField("audio")
    }


async def test_at_twice_the_rate_they_come_twice_as_soon() -> None:
    usual, quick = words_of(await answers(asked())), words_of(await answers(asked(speaking_rate=2)))
    assert len(usual) == len(quick)
    for one, other in zip(usual, quick, strict=True):
        assert seconds(other)[0] == pytest.approx(seconds(one)[0] / 2, abs=0.05)


async def test_nobody_is_told_who_has_not_asked() -> None:
    request = pb.SynthesizeRequest(input=pb.SynthesisInput(text=TEXT))
    assert words_of(await answers(request)) == []
