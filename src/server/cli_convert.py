"""`chatterbox convert`: speech in a file or a pipe, in another voice."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import conversion_pb2 as pb
from chatterbox.v1 import synthesis_pb2
from chatterbox.v1.voice_conversion_service_pb2_grpc import VoiceConversionServiceStub
from server import cli_say_options as told
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import connected
from server.cli_input import standard_input
from server.cli_lists import Server
from server.cli_output import FORMATS, SoundOutput, format_of, silence_stdout
from server.cli_progress import Report, progress_bar
from server.cli_say import made, resource

READ_BYTES = 64 * 1024

Call = grpc.aio.StreamStreamCall[pb.ConvertVoiceRequest, pb.ConvertVoiceResponse]


def convert(  # noqa: PLR0913  # one parameter per option: so typer wants it
    source: Annotated[
        str,
        typer.Argument(help="WAV, MP3, FLAC, Ogg or WebM of somebody speaking; - is a pipe."),
    ],
    output: told.Output = "converted.wav",
    voice: told.Voice = None,
    model: told.Model = None,
    audio_format: told.Format = None,
    rate: told.Rate = None,
    speaking_rate: told.SpeakingRate = None,
    gain: told.Gain = None,
    seed: told.Seed = None,
    pcm_rate: Annotated[
        int | None,
        typer.Option(help="The source is bare 16-bit samples, so many a second."),
    ] = None,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Say what somebody has said in another voice, however long it is."""
    config = made(
        pb.ConvertVoiceConfig,
        voice=synthesis_pb2.VoiceSelection(
            name=resource("voices", voice), model=resource("models", model)
        ),
        source=None
        if pcm_rate is None
        else made(pb.SourceFormat, encoding=pb.SOURCE_ENCODING_PCM, sample_rate_hertz=pcm_rate),
        audio_config=made(
            synthesis_pb2.AudioConfig,
            audio_encoding=FORMATS[format_of(output, audio_format)],
            sample_rate_hertz=rate,
            speaking_rate=speaking_rate,
            volume_gain_db=gain,
        ),
        seed=seed,
    )
    _check_places(source, output)
    access = Access(api_key=api_key, tls_ca=tls_ca)
    try:
        asyncio.run(_convert(config, source, output, server, access))
    except BrokenPipeError:
        silence_stdout()


def _check_places(source: str, output: str) -> None:
    if source == "-":
        return
    path = Path(source)
    if not path.exists() or path.is_dir():
        raise InvalidRequest(f"cannot read {source}: there is no such file")
    if output != "-" and path.is_file() and Path(output).exists() and path.samefile(output):
        raise InvalidRequest(f"{source} would be written over while it is read")


async def _convert(
    config: pb.ConvertVoiceConfig, source: str, place: str, server: str | None, access: Access
) -> None:
    is_wav = config.audio_config.audio_encoding == synthesis_pb2.AUDIO_ENCODING_LINEAR16
    output = SoundOutput(place, is_wav=is_wav)
    async with connected(server, access) as channel:
        # Without an iterator of requests the call is written to, which its type does not know.
        convert_voice: Any = VoiceConversionServiceStub(channel).ConvertVoice
        call: Call = convert_voice()
        await call.write(pb.ConvertVoiceRequest(config=config))
        # Nothing is sent before that: a refusal comes here, and a write would hide its reason.
        first = await _next(call)
        assert first is not None, "a call that is accepted is answered"
        sending = asyncio.create_task(_send(call, source))
        try:
            with output, progress_bar(None, doing="converting") as report:
                summary = await _save(call, output, report)
                await sending
        finally:
            sending.cancel()
            call.cancel()  # harmless when it is over
    _tell(summary, first.started, place)


async def _send(call: Call, source: str) -> None:
    pieces = standard_input(READ_BYTES) if source == "-" else _file(Path(source))
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if call.done():
                    return
                await call.write(pb.ConvertVoiceRequest(audio=piece))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # the call is over; who reads it is told why
    except BaseException:
        call.cancel()  # or the reader would wait for ever
        raise


async def _next(call: Call) -> pb.ConvertVoiceResponse | None:
    """The next answer; None at the end."""
    answer = await call.read()
    return answer if isinstance(answer, pb.ConvertVoiceResponse) else None


async def _file(path: Path) -> AsyncGenerator[bytes, None]:
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, READ_BYTES):
                yield piece
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error


async def _save(call: Call, output: SoundOutput, report: Report) -> pb.ConversionSummary:
    summary = pb.ConversionSummary()
    while (response := await _next(call)) is not None:
        match response.WhichOneof("convert_response"):
            case "audio":
                output.write(response.audio.audio_content)
                report.spoke_until(response.audio.offset.ToTimedelta().total_seconds())
            case "warning":
                report.warn(response.warning.message)
            case "summary":
                summary = response.summary
            case _:
                pass
    report.finished()
    return summary


def _tell(summary: pb.ConversionSummary, started: pb.ConversionStarted, place: str) -> None:
    audio_s = summary.audio_duration.ToTimedelta().total_seconds()
    wall_s = summary.conversion_duration.ToTimedelta().total_seconds()
    where = "standard output" if place == "-" else place
    sys.stderr.write(
        f"{where}: {audio_s:.2f} s of audio in {wall_s:.2f} s, RTF {summary.real_time_factor:.3f} "
        f"({started.model}, {started.voice}, seed {started.seed})\n"
    )
