"""`chatterbox say`: speak a text into a WAV file or a pipe."""

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Annotated, Any

import grpc
import typer

from chatterbox.errors import InvalidRequest
from chatterbox.speech import MAX_TEXT_CHARACTERS
from chatterbox.v1 import synthesis_pb2 as pb
from chatterbox.v1.text_to_speech_service_pb2_grpc import TextToSpeechServiceStub
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import connected
from server.cli_output import WavOutput, silence_stdout
from server.cli_progress import Report, progress_bar

CHARACTERS_PER_SECOND = 15  # of English read aloud; only the progress bar relies on it
READ_BYTES = 4096

Call = (
    grpc.aio.UnaryStreamCall[pb.SynthesizeRequest, pb.StreamingSynthesizeResponse]
    | grpc.aio.StreamStreamCall[pb.StreamingSynthesizeRequest, pb.StreamingSynthesizeResponse]
)
Responses = AsyncIterator[pb.StreamingSynthesizeResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What to say and how. `text` "-" is standard input, spoken as it arrives."""

    text: str
    voice: pb.VoiceSelection
    options: pb.SynthesisOptions

    def call(self, channel: grpc.aio.Channel) -> Call:
        """The call that speaks it."""
        stub = TextToSpeechServiceStub(channel)
        audio = pb.AudioConfig(audio_encoding=pb.AUDIO_ENCODING_LINEAR16)
        if self.text == "-":
            config = pb.StreamingSynthesizeConfig(
                voice=self.voice, audio_config=audio, options=self.options
            )
            return stub.StreamingSynthesize(_live_requests(config))
        request = pb.SynthesizeRequest(
            input=pb.SynthesisInput(text=self.text),
            voice=self.voice,
            audio_config=audio,
            options=self.options,
        )
        return stub.Synthesize(request)


def say(  # noqa: PLR0913  # one parameter per option: so typer wants it
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="WAV file to write; - streams to a pipe.")
    ] = "speech.wav",
    voice: Annotated[str | None, typer.Option(help="Voice, such as ada.")] = None,
    model: Annotated[str | None, typer.Option(help="Model, such as tiny.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text, such as en.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same audio.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 5; higher is livelier.")] = None,
    exaggeration: Annotated[float | None, typer.Option(help="0 to 2; 0.5 is neutral.")] = None,
    cfg_weight: Annotated[float | None, typer.Option(help="0 to 1; weight of guidance.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Above 0, at most 1.")] = None,
    top_k: Annotated[int | None, typer.Option(help="0 is off.")] = None,
    min_p: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 to 5; 1 is off.")] = None,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="CHATTERBOX_SERVER",
            help="Address of a server; by default the one on this machine, or a temporary one.",
        ),
    ] = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Speak a text into a WAV file or a pipe."""
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
            name=_resource("voices", voice),
            model=_resource("models", model),
            language_code=language or "",
        ),
        options=_options({name: value for name, value in options.items() if value is not None}),
    )
    try:
        asyncio.run(_say(speech, output, server, Access(api_key=api_key, tls_ca=tls_ca)))
    except BrokenPipeError:
        silence_stdout()


def _resource(collection: str, name: str | None) -> str:
    return "" if name is None else f"{collection}/{name.removeprefix(collection + '/')}"


def _options(values: dict[str, Any]) -> pb.SynthesisOptions:
    try:
        return pb.SynthesisOptions(**values)
    except ValueError as error:  # a number that does not fit its field
        raise InvalidRequest(f"an option is out of range: {error}") from error


async def _say(speech: Speech, place: str, server: str | None, access: Access) -> None:
    output = WavOutput(place)
    expected_s = None if speech.text == "-" else len(speech.text) / CHARACTERS_PER_SECOND
    async with connected(server, access) as channel:
        call = speech.call(channel)
        try:
            responses = call.__aiter__()
            first = await anext(responses)  # a refusal comes here, before anything is written
            with output, progress_bar(expected_s) as report:
                summary = await _save(first.started, responses, output, report)
        finally:
            call.cancel()  # harmless when it is over
    _tell(summary, first.started, place)


async def _save(
    started: pb.SynthesisStarted, responses: Responses, output: WavOutput, report: Report
) -> pb.SynthesisSummary:
    bytes_per_second = 2 * started.sample_rate_hertz
    summary = pb.SynthesisSummary()
    async for response in responses:
        match response.WhichOneof("streaming_response"):
            case "audio":
                output.write(response.audio.audio_content)
                report.spoke(len(response.audio.audio_content) / bytes_per_second)
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
    pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
    loop = asyncio.get_running_loop()

    def read() -> None:
        # A thread of its own, not of the pool: the process may end while it waits for a key.
        while True:
            piece = os.read(sys.stdin.fileno(), READ_BYTES)
            try:
                asyncio.run_coroutine_threadsafe(pieces.put(piece), loop).result()
            except (RuntimeError, CancelledError):  # the loop has ended, or is about to
                return
            if not piece:
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    count = 0
    # Enough for the server to refuse it, and not more: a write into a call that it has already
    # ended would hide its reason.
    while count <= MAX_TEXT_CHARACTERS and (piece := await pieces.get()):
        text = decoder.decode(piece)
        count += len(text)
        yield text
