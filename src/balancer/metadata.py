"""What of a call's metadata is passed on. Pure."""

from collections.abc import Iterable

from chatterbox.process.auth.authenticator import API_KEY_KEY, AUTHORIZATION_KEY
from chatterbox.process.request_ids import REQUEST_ID_KEY
from chatterbox.process.resume import GO_ON, RESUME_KEY, WANTED

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
# Who calls is asked here. A backend gets to see nobody's key.
CREDENTIALS = frozenset({AUTHORIZATION_KEY, API_KEY_KEY})
NOT_PASSED_ON = HOP_BY_HOP | CREDENTIALS | {REQUEST_ID_KEY, RESUME_KEY}


def request_metadata(received: Iterable[tuple[str, str | bytes]], *, request_id: str) -> Metadata:
    """What a backend gets: the client's own metadata but its credentials, under one request id."""
    return (
        *((key, value) for key, value in received if key not in NOT_PASSED_ON),
        (REQUEST_ID_KEY, request_id),
    )


def resume_metadata(*, goes_on: bool) -> Metadata:
    """What asks a model server to tell how to go on, and to go on. Ours alone: no client's gets here."""
    return ((RESUME_KEY, GO_ON if goes_on else WANTED),)


def response_metadata(received: Iterable[tuple[str, str | bytes]], *, served_by: str) -> Metadata:
    """What a client gets ahead of the first message: the backend's own, and where it came from."""
    passed = ((key, value) for key, value in received if key not in HOP_BY_HOP)
    return (*passed, (SERVED_BY_KEY, served_by))


def is_transcoded(received: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether the client speaks HTTP and JSON, which Envoy has translated."""
    return any(key == TRANSCODED_KEY for key, _ in received)
