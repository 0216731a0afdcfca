"""What of a call's metadata is passed on. Pure."""

from collections.abc import Iterable

from chatterbox.process.request_ids import REQUEST_ID_KEY

Metadata = tuple[tuple[str, str | bytes], ...]

TRANSCODED_KEY = "x-envoy-original-path"  # what Envoy adds when it has rewritten a path
SERVED_BY_KEY = "x-served-by"

# Of one connection and not of the call; each side's gRPC writes its own.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-previous-rpc-attempts",
        "grpc-timeout",
        "te",
        "user-agent",
    }
)


def request_metadata(received: Iterable[tuple[str, str | bytes]], *, request_id: str) -> Metadata:
    """What a backend gets: the client's own metadata, under one request id."""
    return (
        *((key, value) for key, value in received if key not in HOP_BY_HOP | {REQUEST_ID_KEY}),
        (REQUEST_ID_KEY, request_id),
    )


def response_metadata(received: Iterable[tuple[str, str | bytes]], *, served_by: str) -> Metadata:
    """What a client gets ahead of the first message: the backend's own, and where it came from."""
    passed = ((key, value) for key, value in received if key not in HOP_BY_HOP)
    return (*passed, (SERVED_BY_KEY, served_by))


def is_transcoded(received: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether the client speaks HTTP and JSON, which Envoy has translated."""
    return any(key == TRANSCODED_KEY for key, _ in received)
