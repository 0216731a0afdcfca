"""`chatterbox backends`: the model servers behind a balancer, and who gets no more calls."""

import asyncio
import json
import sys
from enum import StrEnum
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from chatterbox.errors import EngineStopped, InvalidRequest
from chatterbox.process.addresses import BALANCER, backend_id
from chatterbox.v1 import admin_service_pb2 as pb
from chatterbox.v1.admin_service_pb2_grpc import AdminServiceStub
from chatterbox.v1.backend_pb2 import Backend
from server.cli_access import Access, ApiKey, TlsCa
from server.cli_connection import channel_to

CALL_S = 10.0


class Action(StrEnum):
    """What to do with backends."""

    LIST = "list"
    DRAIN = "drain"
    UNDRAIN = "undrain"


def backends(
    action: Annotated[Action, typer.Argument(help="list, drain or undrain.")] = Action.LIST,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="Ids or addresses, to drain or undrain."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    balancer: Annotated[
        str,
        typer.Option("--server", envvar="CHATTERBOX_BALANCER", help="Address of the balancer."),
    ] = BALANCER,
    api_key: ApiKey = None,
    tls_ca: TlsCa = None,
) -> None:
    """List the model servers behind a balancer, or take one out and back."""
    if (action is Action.LIST) is bool(names):
        wants = "takes no backends" if names else "needs the id of a backend"
        raise InvalidRequest(f"`backends {action.value}` {wants}")
    access = Access(api_key=api_key, tls_ca=tls_ca)
    _show(asyncio.run(_answered(balancer, access, action, names or [])), as_json=as_json)


async def _answered(
    address: str, access: Access, action: Action, names: list[str]
) -> list[Backend]:
    async with channel_to(address, access) as channel:
        try:
            if action is Action.LIST:
                return await _all(channel)
            steer = _drained if action is Action.DRAIN else _undrained
            return [await steer(channel, f"backends/{backend_id(name)}") for name in names]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise InvalidRequest(f"the server at {address} is not a balancer") from None
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise EngineStopped(f"the balancer at {address} cannot be reached") from None
            raise


async def _all(channel: grpc.aio.Channel) -> list[Backend]:
    stub = AdminServiceStub(channel)
    request = pb.ListBackendsRequest(page_size=1000)
    found: list[Backend] = []
    while True:
        page = await stub.ListBackends(request, timeout=CALL_S)
        found.extend(page.backends)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def _drained(channel: grpc.aio.Channel, name: str) -> Backend:
    request = pb.DrainBackendRequest(name=name)
    return await AdminServiceStub(channel).DrainBackend(request, timeout=CALL_S)


async def _undrained(channel: grpc.aio.Channel, name: str) -> Backend:
    request = pb.UndrainBackendRequest(name=name)
    return await AdminServiceStub(channel).UndrainBackend(request, timeout=CALL_S)


def _show(found: list[Backend], *, as_json: bool) -> None:
    if as_json:
        messages = [MessageToDict(backend, preserving_proto_field_name=True) for backend in found]
        sys.stdout.write(json.dumps(messages, indent=2) + "\n")
        return
    headings = (
        "backend",
        "state",
        "streams",
        "free slots",
        "waiting",
        "queued",
        "models",
        "version",
    )
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for backend in found:
        table.add_row(
            backend.name.partition("/")[2],
            Backend.State.Name(backend.state).removeprefix("STATE_").lower(),
            f"{backend.active_streams}/{backend.max_streams}",
            f"{backend.free_slots}/{backend.slots}" if backend.slots else "?",
            str(backend.waiting),
            f"{backend.queued_audio.ToTimedelta().total_seconds():.0f} s",
            ", ".join(name.partition("/")[2] for name in backend.models),
            backend.version,
        )
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
