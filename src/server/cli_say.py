"""`chatterbox say`: speak a text into a file or a pipe."""

import asyncio
import codecs
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message as ProtoMessage

from chatterbox.errors import InvalidRequest
from chatterbox.speech import MAX_TEXT_CHARACTERS
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server import cli_say_options as told
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import connected
from server.cli_input import standard_input
from server.cli_lists import Server
from server.cli_output import FORMATS, SoundOutput, format_of, silence_stdout
from server.cli_progress import Report, progress_bar
from server.subtitles import check_subtitles, write_subtitles

CHARACTERS_PER_SECOND = 15  # of English read aloud; only the progress bar relies on it
READ_BYTES = 4096

Call = (
    grpc.aio.UnaryStreamCall[pb.SynthesizeRequest, pb.StreamingSynthesizeResponse]
    | grpc.aio.StreamStreamCall[pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse]
)
Responses = AsyncIterator[pb.StreamingSynthesizeResponse]
Message = TypeVar("Message", bound=ProtoMessage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What to say and how. `text` "-" is standard input, spoken as it arrives."""

    text: str
    voice: pb.VoiceSelection
    audio: pb.AudioConfig
    options: pb.SynthesisOptions
    pronunciations: tuple[pb.CustomPronunciation, ...] = ()
    subtitles: str | None = None  # a file

    def call(self, channel: grpc.aio.Channel) -> Call:
        """The call that speaks it."""
        stub = TextToSpeechServiceStub(channel)
        how: dict[str, Any] = {
            "voice": self.voice,
            "audio_config": self.audio,
            "options": self.options,
            "pronunciations": self.pronunciations,
            "enable_word_timings": self.subtitles is not None,
        }
        if self.text == "-":
            return stub.StreamingSynthesize(_live_requests(pb.StreamingSynthesizeConfig(**how)))
        text = pb.SynthesisInput(text=self.text)
        return stub.Synthesize(pb.SynthesizeRequest(input=text, **how))


def say(  # noqa: PLR0913  # one parameter per option: so typer wants it
    text: told.Text,
    output: told.Output = "speech.wav",
    voice: told.Voice = None,
    model: told.Model = None,
    language: told.Language = None,
    audio_format: told.Format = None,
    rate: told.Rate = None,
    speaking_rate: told.SpeakingRate = None,
    gain: told.Gain = None,
    pronounce: told.Pronounce = None,
    subtitles: told.Subtitles = None,
    seed: told.Seed = None,
    temperature: told.Temperature = None,
    exaggeration: told.Exaggeration = None,
    cfg_weight: told.CfgWeight = None,
    top_p: told.TopP = None,
    top_k: told.TopK = None,
    min_p: told.MinP = None,
    repetition_penalty: told.RepetitionPenalty = None,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Speak a text into a file or a pipe."""
    options = {
        "seed": seed,
        "temperature": temperature,
        "exaggeration": exaggeration,
        "cfg_weight": cfg_weight,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    speech = Speech(
        text=text,
        voice=pb.VoiceSelection(
            name=resource("voices", voice),
            model=resource("models", model),
            language_code=language or "",
        ),
        audio=made(
            pb.AudioConfig,
            audio_encoding=FORMATS[format_of(output, audio_format)],
            sample_rate_hertz=rate,
            speaking_rate=speaking_rate,
            volume_gain_db=gain,
        ),
        options=made(pb.SynthesisOptions, **options),
        pronunciations=tuple(_pronunciation(each) for each in pronounce or ()),
        subtitles=subtitles,
    )
    if subtitles is not None:
        check_subtitles(subtitles)
    try:
        asyncio.run(_say(speech, output, server, Access(api_key=api_key, tls_ca=tls_ca)))
    except BrokenPipeError:
        silence_stdout()


def resource(collection: str, name: str | None) -> str:
    return "" if name is None else f"{collection}/{name.removeprefix(collection + '/')}"


def made(kind: type[Message], **values: Any) -> Message:
    """A message of what is set."""
    try:
        return kind(**{name: value for name, value in values.items() if value is not None})
    except ValueError as error:  # a number that does not fit its field
        raise InvalidRequest(f"an option is out of range: {error}") from error


def _pronunciation(written: str) -> pb.CustomPronunciation:
    phrase, equals, spoken_as = written.partition("=")
    if not equals:
        raise InvalidRequest(f"a pronunciation looks like WORD=SPOKEN, got {written[:80]!r}")
    return pb.CustomPronunciation(phrase=phrase, spoken_as=spoken_as)


async def _say(speech: Speech, place: str, server: str | None, access: Access) -> None:
    is_wav = speech.audio.audio_encoding == pb.AUDIO_ENCODING_LINEAR16
    output = SoundOutput(place, is_wav=is_wav)
    expected_s = None if speech.text == "-" else len(speech.text) / CHARACTERS_PER_SECOND
    async with connected(server, access) as channel:
        call = speech.call(channel)
        try:
            responses = call.__aiter__()
            first = await anext(responses)  # a refusal comes here, before anything is written
            with output, progress_bar(expected_s) as report:
                words: list[pb.WordTiming] = []
                summary = await _save(responses, output, report, words)
        finally:
            call.cancel()  # harmless when it is over
    if speech.subtitles is not None:
        write_subtitles(speech.subtitles, words)
    _tell(summary, first.started, place)


async def _save(
    responses: Responses, output: SoundOutput, report: Report, words: list[pb.WordTiming]
) -> pb.SynthesisSummary:
    summary = pb.SynthesisSummary()
    async for response in responses:
        match response.WhichOneof("streaming_response"):
            case "audio":
                output.write(response.audio.audio_content)
                report.spoke_until(response.audio.offset.ToTimedelta().total_seconds())
            case "word_timings":
                words.extend(response.word_timings.words)
            case "warning":
                report.warn(response.warning.message)
            case "summary":
                summary = response.summary
            case _:
                pass
    if summary.audio_duration.ToTimedelta().total_seconds() == 0:
        raise InvalidRequest("there was nothing to speak")
    report.finished()
    return summary


def _tell(summary: pb.SynthesisSummary, started: pb.SynthesisStarted, place: str) -> None:
    audio_s = summary.audio_duration.ToTimedelta().total_seconds()
    first_s = summary.time_to_first_audio.ToTimedelta().total_seconds()
    where = "standard output" if place == "-" else place
    sys.stderr.write(
        f"{where}: {audio_s:.2f} s of audio, first audio after {first_s * 1000:.0f} ms, "
        f"RTF {summary.real_time_factor:.3f}, {_gaps(summary)} "
        f"({started.model}, {started.voice}, seed {started.seed})\n"
    )


def _gaps(summary: pb.SynthesisSummary) -> str:
    if summary.underrun_count == 0:
        return "no gaps"
    gap_s = summary.underrun_duration.ToTimedelta().total_seconds()
    gaps = "1 gap" if summary.underrun_count == 1 else f"{summary.underrun_count} gaps"
    return f"{gaps} of {gap_s:.2f} s in all"


async def _live_requests(
    config: pb.StreamingSynthesizeConfig,
) -> AsyncIterator[pb.StreamingSynthesizeRequest]:
    yield pb.StreamingSynthesizeRequest(streaming_config=config)
    async for text in _standard_input():
        yield pb.StreamingSynthesizeRequest(input=pb.SynthesisInput(text=text))


async def _standard_input() -> AsyncIterator[str]:
    """Text from standard input as it arrives, whatever the pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    count = 0
    # Enough for the server to refuse it, and not more: a write into a call that it has already
    # ended would hide its reason.
    async with aclosing(standard_input(READ_BYTES)) as pieces:
        async for piece in pieces:
            text = decoder.decode(piece)
            count += len(text)
            yield text
            if count > MAX_TEXT_CHARACTERS:
                return
