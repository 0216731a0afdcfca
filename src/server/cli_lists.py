"""`chatterbox voices` and `chatterbox models`: what a server has, as a table or as JSON."""

import asyncio
import json
import sys
from collections.abc import Iterable
from typing import Annotated, TypeVar

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from chatterbox.v1 import model_pb2, models_service_pb2, voice_pb2, voices_service_pb2
from chatterbox.v1.models_service_pb2_grpc import ModelsServiceStub
from chatterbox.v1.voices_service_pb2_grpc import VoicesServiceStub
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import connected

CALL_S = 10.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[
    str | None,
    typer.Option(
        envvar="CHATTERBOX_SERVER",
        help="Address of a server; by default the one on this machine, or a temporary one.",
    ),
]

Resource = TypeVar("Resource", voice_pb2.Voice, model_pb2.Model)


def voices(
    *, as_json: AsJson = False, server: Server = None, api_key: ApiKey = None, tls_ca: TlsCa = None
) -> None:
    """List the voices."""
    found = asyncio.run(_voices(server, Access(api_key=api_key, tls_ca=tls_ca)))
    rows = [
        (
            _id(voice.name),
            voice.display_name,
            voice.language_code,
            voice_pb2.VoiceGender.Name(voice.gender).removeprefix("VOICE_GENDER_").lower(),
            ", ".join(_id(name) for name in voice.models),
            voice.description,
        )
        for voice in found
    ]
    headings = ("voice", "name", "language", "gender", "models", "description")
    _show(found, headings, rows, as_json=as_json)


def models(
    *, as_json: AsJson = False, server: Server = None, api_key: ApiKey = None, tls_ca: TlsCa = None
) -> None:
    """List the models."""
    found = asyncio.run(_models(server, Access(api_key=api_key, tls_ca=tls_ca)))
    rows = [
        (
            _id(model.name),
            model.display_name,
            ", ".join(model.language_codes),
            f"{model.sample_rate_hertz} Hz",
            ", ".join(
                f"{field.name} {value:g}" for field, value in model.default_options.ListFields()
            ),
            model.description,
        )
        for model in found
    ]
    headings = ("model", "name", "languages", "audio", "defaults", "description")
    _show(found, headings, rows, as_json=as_json)


async def _voices(server: str | None, access: Access) -> list[voice_pb2.Voice]:
    async with connected(server, access) as channel:
        return await _all_voices(channel)


async def _all_voices(channel: grpc.aio.Channel) -> list[voice_pb2.Voice]:
    stub = VoicesServiceStub(channel)
    request = voices_service_pb2.ListVoicesRequest(page_size=1000)
    found: list[voice_pb2.Voice] = []
    while True:
        page = await stub.ListVoices(request, timeout=CALL_S)
        found.extend(page.voices)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _models(server: str | None, access: Access) -> list[model_pb2.Model]:
    async with connected(server, access) as channel:
        stub = ModelsServiceStub(channel)
        request = models_service_pb2.ListModelsRequest(page_size=1000)
        return list((await stub.ListModels(request, timeout=CALL_S)).models)


def _id(name: str) -> str:
    return name.partition("/")[2]


def _show(
    found: list[Resource],
    headings: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        messages = [MessageToDict(item, preserving_proto_field_name=True) for item in found]
        sys.stdout.write(json.dumps(messages, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    # In a pipe a row stays on one line, whatever its length, so that it can be cut and searched.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    console.print(table)
