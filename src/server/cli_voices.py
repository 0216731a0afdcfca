"""`chatterbox voices`: list, show, add, remove, export and import the voices of a server."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToJson

from chatterbox.errors import InvalidRequest
from chatterbox.v1 import voice_pb2
from chatterbox.v1 import voices_service_pb2 as pb
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceStub
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import connected
from server.cli_lists import CALL_S, AsJson, Server, short_id, show_list

UPLOAD_S = 120.0
_PIECE_BYTES = 256 * 1024
_PICKLES = (".pt", ".pth")
_GENDERS = {
    "female": voice_pb2.VOICE_GENDER_FEMALE,
    "male": voice_pb2.VOICE_GENDER_MALE,
    "neutral": voice_pb2.VOICE_GENDER_NEUTRAL,
}

VoiceId = Annotated[str, typer.Argument(metavar="VOICE", help="Id of the voice, such as ada.")]
Consent = Annotated[
    bool, typer.Option("--consent", help="Declare that the speaker consents to being copied.")
]


voices = typer.Typer(help="List, make, remove, export and import voices.", add_completion=False)


@voices.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    *,
    as_json: AsJson = False,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """List, make, remove, export and import voices; without a command, list them."""
    if context.invoked_subcommand is None:
        list_voices(as_json=as_json, server=server, api_key=api_key, tls_ca=tls_ca)


@voices.command("list")
def list_voices(
    *, as_json: AsJson = False, server: Server = None, api_key: ApiKey = None, tls_ca: TlsCa = None
) -> None:
    """List the voices."""
    found = _run(_At(server, api_key, tls_ca), _all_voices)
    rows = [
        (
            short_id(voice.name),
            voice.display_name,
            voice.language_code,
            _gender(voice),
            ", ".join(short_id(name) for name in voice.models),
            voice.description,
        )
        for voice in found
    ]
    headings = ("voice", "name", "language", "gender", "models", "description")
    show_list(found, headings, rows, as_json=as_json)


@voices.command("show")
def show(
    voice_id: VoiceId,
    *,
    as_json: AsJson = False,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Show a voice and how good its recording is."""
    request = pb.GetVoiceRequest(name=_name(voice_id))
    _tell(
        _run(_At(server, api_key, tls_ca), lambda stub: stub.GetVoice(request, timeout=CALL_S)),
        as_json=as_json,
    )


@voices.command("add")
def add(  # noqa: PLR0913  # one parameter per option: so typer wants it
    voice_id: VoiceId,
    recording: Annotated[
        Path, typer.Argument(help="3 to 30 s of one speaker: WAV, MP3, FLAC, Ogg, M4A or WebM.")
    ],
    *,
    consent: Consent = False,
    name: Annotated[str, typer.Option(help="What to call it on a screen.")] = "",
    description: Annotated[str, typer.Option(help="How it sounds.")] = "",
    language: Annotated[str, typer.Option(help="What it speaks, such as en or pt-BR.")] = "",
    gender: Annotated[
        Literal["", "female", "male", "neutral"], typer.Option(help="How it sounds to most.")
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only judge the recording; make no voice.")
    ] = False,
    as_json: AsJson = False,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Make a voice from a recording."""
    _check_consent(is_given=consent)
    content = _content(recording)
    first = pb.UploadVoiceRequest(
        voice_id=_plain(voice_id),
        voice=voice_pb2.Voice(
            display_name=name,
            description=description,
            language_code=language,
            gender=_GENDERS.get(gender, voice_pb2.VOICE_GENDER_UNSPECIFIED),
        ),
        consent=consent,
        validate_only=check,
    )

    async def messages() -> AsyncIterator[pb.UploadVoiceRequest]:
        yield first
        for piece in _pieces(content):
            yield pb.UploadVoiceRequest(audio=HttpBody(data=piece))

    made = _run(
        _At(server, api_key, tls_ca), lambda stub: stub.UploadVoice(messages(), timeout=UPLOAD_S)
    )
    _tell(made, as_json=as_json)


@voices.command("remove")
def remove(
    voice_id: VoiceId, *, server: Server = None, api_key: ApiKey = None, tls_ca: TlsCa = None
) -> None:
    """Remove a voice and its recording. Whoever speaks with it goes on to the end."""
    request = pb.DeleteVoiceRequest(name=_name(voice_id))
    _run(_At(server, api_key, tls_ca), lambda stub: stub.DeleteVoice(request, timeout=CALL_S))


@voices.command("export")
def export(
    voice_id: VoiceId,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; by default VOICE.zip.")
    ] = None,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Write a voice into one file, which `import` takes."""
    request = pb.ExportVoiceRequest(name=_name(voice_id))

    async def received(stub: Any) -> bytes:
        answers = stub.ExportVoice(request, timeout=UPLOAD_S)
        return b"".join([answer.data async for answer in answers])

    content = _run(_At(server, api_key, tls_ca), received)
    path = output or Path(f"{_plain(voice_id)}.zip")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from error


@voices.command("import")
def import_voice(  # noqa: PLR0913  # one parameter per option: so typer wants it
    file: Annotated[Path, typer.Argument(help="File of `export`, or a published conds.pt.")],
    *,
    voice_id: Annotated[
        str, typer.Option("--id", help="Id to give it; by default the one it had.")
    ] = "",
    consent: Consent = False,
    family: Annotated[str, typer.Option(help="Model family of a conds.pt.")] = "english",
    as_json: AsJson = False,
    server: Server = None,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """Make a voice from a file of `export`, or from the conds.pt of an official repository."""
    if file.suffix in _PICKLES:
        from chatterbox.voices.published import read_published

        _check_consent(is_given=consent)
        voice_id = voice_id or f"{family}-sample"
        content = read_published(file, family=family, voice_id=_plain(voice_id))
    else:
        content = _content(file)
    first = pb.ImportVoiceRequest(voice_id=_plain(voice_id), consent=consent)

    async def messages() -> AsyncIterator[pb.ImportVoiceRequest]:
        yield first
        for piece in _pieces(content):
            yield pb.ImportVoiceRequest(archive=HttpBody(data=piece))

    made = _run(
        _At(server, api_key, tls_ca), lambda stub: stub.ImportVoice(messages(), timeout=UPLOAD_S)
    )
    _tell(made, as_json=as_json)


class _At(NamedTuple):
    """Which server is asked, and how one gets in."""

    server: str | None
    api_key: str | None
    tls_ca: Path | None


def _run(at: _At, ask: Callable[[Any], Any]) -> Any:
    access = Access(api_key=at.api_key, tls_ca=at.tls_ca)

    async def call() -> Any:
        async with connected(at.server, access) as channel:
            return await ask(VoicesServiceStub(channel))

    return asyncio.run(call())


async def _all_voices(stub: Any) -> list[voice_pb2.Voice]:
    request = pb.ListVoicesRequest(page_size=1000)
    found: list[voice_pb2.Voice] = []
    while True:
        page = await stub.ListVoices(request, timeout=CALL_S)
        found.extend(page.voices)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _tell(voice: voice_pb2.Voice, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(MessageToJson(voice, preserving_proto_field_name=True) + "\n")
        return
    told = {
        "voice": short_id(voice.name),
        "name": voice.display_name,
        "description": voice.description,
        "language": voice.language_code,
        "gender": _gender(voice),
        "models": ", ".join(short_id(name) for name in voice.models) or "none on this server",
        "made": _time(voice.create_time.seconds) or "came with the installation",
        "consent": _time(voice.consent_time.seconds),
        **_quality(voice),
    }
    width = max(map(len, told))
    for key, value in told.items():
        if value:
            sys.stdout.write(f"{key:<{width}}  {value}\n")


def _quality(voice: voice_pb2.Voice) -> dict[str, str]:
    if not voice.HasField("quality"):
        return {}
    quality = voice.quality
    duration_s = quality.duration.ToTimedelta().total_seconds()
    return {
        "recording": f"{duration_s:.1f} s, {quality.speech_ratio:.0%} speech, "
        f"{quality.loudness_lufs:.0f} LUFS, {quality.signal_to_noise_db:.0f} dB above the noise, "
        f"{quality.clipping_ratio:.2%} clipped",
        "advice": " ".join(quality.advice),
    }


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


def _gender(voice: voice_pb2.Voice) -> str:
    return voice_pb2.VoiceGender.Name(voice.gender).removeprefix("VOICE_GENDER_").lower()


def _check_consent(*, is_given: bool) -> None:
    if not is_given:
        raise InvalidRequest(
            "a voice is made with its speaker's consent only: add --consent to declare it"
        )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error


def _pieces(content: bytes) -> list[bytes]:
    return [content[start : start + _PIECE_BYTES] for start in range(0, len(content), _PIECE_BYTES)]


def _plain(voice_id: str) -> str:
    return voice_id.removeprefix("voices/")


def _name(voice_id: str) -> str:
    return f"voices/{_plain(voice_id)}"
