"""Errors as gRPC statuses with their details; the only table."""

import math
from collections.abc import Sequence
from typing import Any

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from chatterbox.errors import (
    AlreadyExists,
    BackendLost,
    CallTooLong,
    ChatterboxError,
    CheckpointError,
    ConfigError,
    EngineStopped,
    InvalidRequest,
    NoBackend,
    NotFound,
    Overloaded,
    PermissionDenied,
    ReadOnly,
    SessionIdle,
    StorageFailed,
    StorageFull,
    Unauthenticated,
)

DOMAIN = "chatterbox"
Status = Any  # grpc.Status as a named tuple: code, details, trailing_metadata

MAX_MESSAGE_CHARACTERS = 500  # a status travels in a header, which may hold 8 KB in all
MAX_METADATA_CHARACTERS = 200
# The same once more in plain words, for proxies that cannot unpack the details: with them Envoy
# writes errors as OpenAI's clients read them.
TYPE_KEY, CODE_KEY, PARAM_KEY = "x-error-type", "x-error-code", "x-error-param"
# What HTTP clients look for; Envoy makes headers of them (RFC 9110).
RETRY_KEY, CHALLENGE_KEY = "retry-after", "www-authenticate"
OPENAI_INVALID = (
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED,
)
RESTART_S = 1.0  # after which another server, or this one, may answer

STATUS: dict[type[ChatterboxError], StatusCode] = {
    InvalidRequest: StatusCode.INVALID_ARGUMENT,
    NotFound: StatusCode.NOT_FOUND,
    AlreadyExists: StatusCode.ALREADY_EXISTS,
    ReadOnly: StatusCode.FAILED_PRECONDITION,
    StorageFull: StatusCode.RESOURCE_EXHAUSTED,
    StorageFailed: StatusCode.FAILED_PRECONDITION,  # no other server's store would be another one
    Unauthenticated: StatusCode.UNAUTHENTICATED,
    PermissionDenied: StatusCode.PERMISSION_DENIED,
    Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    EngineStopped: StatusCode.UNAVAILABLE,
    SessionIdle: StatusCode.ABORTED,
    CallTooLong: StatusCode.ABORTED,
    NoBackend: StatusCode.UNAVAILABLE,
    BackendLost: StatusCode.UNAVAILABLE,
    CheckpointError: StatusCode.DATA_LOSS,  # a stored voice is damaged: trying again cannot help
    ConfigError: StatusCode.FAILED_PRECONDITION,
}


def code_of(error: ChatterboxError) -> StatusCode:
    """The code of an error of the table, or of the nearest class above it that is."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return StatusCode.INTERNAL


def status_of(error: ChatterboxError, *, request_id: str) -> Status:
    """What the caller of a failed request sees (AIP-193)."""
    metadata = {"request_id": request_id}
    details: list[message.Message] = []
    plain: list[tuple[str, str]] = []
    retry_s: float | None = None
    match error:
        case InvalidRequest(field=field) if field:
            metadata["field"] = field
            plain.append((PARAM_KEY, field[:MAX_METADATA_CHARACTERS]))
            details.append(_bad_request(field, error))
        case NotFound(resource=resource) | AlreadyExists(resource=resource):
            metadata["resource"] = resource
            details.append(_resource_info(resource, error))
        case Overloaded(retry_after_s=retry_after_s):
            retry_s = retry_after_s
        case EngineStopped() | NoBackend() | BackendLost():
            retry_s = RESTART_S
        case Unauthenticated():
            plain.append((CHALLENGE_KEY, "Bearer"))
    if retry_s is not None:
        plain.append((RETRY_KEY, str(math.ceil(retry_s))))
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(retry_s)))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={key: value[:MAX_METADATA_CHARACTERS] for key, value in metadata.items()},
    )
    return _status(code_of(error), error.message, [info, *details], plain=plain)


def internal_error(*, request_id: str) -> Status:
    """What the caller sees of a bug: nothing but where to look for it."""
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id}
    )
    return _status(StatusCode.INTERNAL, "internal error", [info])


def _bad_request(field: str, error: InvalidRequest) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field=field[:MAX_METADATA_CHARACTERS],
        description=error.message[:MAX_MESSAGE_CHARACTERS],
        reason=error.reason,
    )
    return error_details_pb2.BadRequest(field_violations=[violation])


def _resource_info(resource: str, error: ChatterboxError) -> error_details_pb2.ResourceInfo:
    kinds = {
        "voices": "chatterbox/Voice",
        "models": "chatterbox/Model",
        "backends": "chatterbox/Backend",
    }
    return error_details_pb2.ResourceInfo(
        resource_type=kinds.get(resource.partition("/")[0], ""),
        resource_name=resource[:MAX_METADATA_CHARACTERS],
        description=error.message[:MAX_MESSAGE_CHARACTERS],
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return duration_pb2.Duration(seconds=whole, nanos=nanos)


def openai_type(code: StatusCode) -> str:
    """What OpenAI's API calls an error of this kind."""
    if code in OPENAI_INVALID:
        return "invalid_request_error"
    return "rate_limit_error" if code is StatusCode.RESOURCE_EXHAUSTED else "server_error"


def _status(
    code: StatusCode,
    text: str,
    details: list[message.Message],
    *,
    plain: Sequence[tuple[str, str]] = (),
) -> Status:
    """A status whose first detail is its ErrorInfo; `plain` is further trailing metadata."""
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    number, _ = code.value
    wire = status_pb2.Status(code=number, message=text[:MAX_MESSAGE_CHARACTERS], details=packed)
    status: Status = rpc_status.to_status(wire)
    info = details[0]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    kind = ((TYPE_KEY, openai_type(code)), (CODE_KEY, info.reason))
    return status._replace(trailing_metadata=(*status.trailing_metadata, *kind, *plain))
