"""Access: with what the command line gets in: a key, and whom it trusts."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from chatterbox.errors import InvalidRequest
from chatterbox.process.tls import ClientTls

API_KEY, TLS_CA = "CHATTERBOX_API_KEY", "CHATTERBOX_TLS_CA"

ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar=API_KEY,
        help="Key to call with; the variable keeps it out of lists of processes.",
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        envvar=TLS_CA,
        help="Authority in PEM of the server's certificate; the server is then called by TLS. "
        "`system` trusts the authorities of this machine.",
    ),
]
SYSTEM = Path("system")

Continue = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a server is called. Without anything: in the clear, as nobody."""

    api_key: str | None = field(default=None, repr=False)
    tls_ca: Path | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequest for a key that no header can hold."""
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise InvalidRequest("the API key has characters that no key has")

    @property
    def tls(self) -> ClientTls | None:
        """None is in the clear."""
        if self.tls_ca is None:
            return None
        return ClientTls(ca=None if self.tls_ca == SYSTEM else self.tls_ca)

    @property
    def interceptors(self) -> list[Any]:
        """gRPC's, which add the key to each call."""
        if self.api_key is None:
            return []
        metadata = (("authorization", f"Bearer {self.api_key.strip()}"),)
        kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
        return [kind(metadata) for kind in kinds]


def access_of_environment() -> Access:
    """What commands without these options get in with."""
    authority = os.environ.get(TLS_CA)
    return Access(
        api_key=os.environ.get(API_KEY) or None, tls_ca=Path(authority) if authority else None
    )


class _Keyed:
    """gRPC wants a class for each kind of call; all do the same."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    async def _call(self, continuation: Continue, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), *self._metadata)
        return await continuation(
            grpc.aio.ClientCallDetails(
                method=details.method,
                timeout=details.timeout,
                metadata=grpc.aio.Metadata(*metadata),
                credentials=details.credentials,
                wait_for_ready=details.wait_for_ready,
            ),
            request,
        )


class _UnaryUnary(_Keyed, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_unary(
        self, continuation: Continue, client_call_details: Any, request: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request)


class _UnaryStream(_Keyed, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_stream(
        self, continuation: Continue, client_call_details: Any, request: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamUnary(_Keyed, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg]
    async def intercept_stream_unary(
        self, continuation: Continue, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _StreamStream(_Keyed, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[type-arg]
    async def intercept_stream_stream(
        self, continuation: Continue, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)
