"""`chatterbox models`, and how any list of a server is shown: as a table or as JSON."""

import asyncio
import json
import sys
from collections.abc import Iterable
from typing import Annotated, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from chatterbox.v1 import model_pb2, models_service_pb2, voice_pb2
from chatterbox.v1.models_service_pb2_grpc import ModelsServiceStub
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


def models(
    *, as_json: AsJson = False, server: Server = None, api_key: ApiKey = None, tls_ca: TlsCa = None
) -> None:
    """List the models."""
    found = asyncio.run(_models(server, Access(api_key=api_key, tls_ca=tls_ca)))
    rows = [
        (
            short_id(model.name),
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
    show_list(found, headings, rows, as_json=as_json)


async def _models(server: str | None, access: Access) -> list[model_pb2.Model]:
    async with connected(server, access) as channel:
        stub = ModelsServiceStub(channel)
        request = models_service_pb2.ListModelsRequest(page_size=1000)
        return list((await stub.ListModels(request, timeout=CALL_S)).models)


def short_id(name: str) -> str:
    """The id in a resource name."""
    return name.partition("/")[2]


def show_list(
    found: list[Resource],
    headings: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    as_json: bool,
) -> None:
    """Print what was found, a row each, or the messages themselves."""
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
