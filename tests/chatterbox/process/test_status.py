"""One error tree, one table, details that fit."""

from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from chatterbox import errors
from chatterbox.errors import (
    ChatterboxError,
    EngineStopped,
    InvalidRequest,
    LimitReached,
    NotFound,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
)
from chatterbox.process.status import STATUS, code_of, internal_error, status_of


def unpacked(status: Any) -> tuple[status_pb2.Status, dict[str, Any]]:
    packed = dict(status.trailing_metadata)["grpc-status-details-bin"]
    message = status_pb2.Status.FromString(packed)
    found = {}
    for detail in message.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return message, found


def test_every_error_has_a_status() -> None:
    assert set(ChatterboxError.__subclasses__()) == set(STATUS)


def test_every_reason_is_upper_snake_and_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    reasons = [kind.reason for kind in kinds if issubclass(kind, ChatterboxError)]
    assert len(set(reasons)) == len(reasons)
    assert all(reason == reason.upper() and len(reason) <= 63 for reason in reasons)


def test_a_kind_of_an_error_takes_its_parents_code() -> None:
    class FullerThanFull(Overloaded):
        pass

    assert code_of(FullerThanFull("no")) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code_of(ChatterboxError("what?")) is grpc.StatusCode.INTERNAL


def test_an_invalid_request_names_its_field() -> None:
    error = InvalidRequest("too hot", field="options.temperature", reason="OUT_OF_RANGE")
    message, details = unpacked(status_of(error, request_id="r1"))

    assert (message.code, message.message) == (code_pb2.INVALID_ARGUMENT, "too hot")
    assert set(details) == {"ErrorInfo", "BadRequest"}
    assert details["ErrorInfo"].domain == "chatterbox"
    assert details["ErrorInfo"].reason == "OUT_OF_RANGE"
    assert dict(details["ErrorInfo"].metadata) == {
        "request_id": "r1",
        "field": "options.temperature",
    }
    violation = details["BadRequest"].field_violations[0]
    assert (violation.field, violation.description) == ("options.temperature", "too hot")


def test_an_invalid_request_without_a_field_has_no_violations() -> None:
    _, details = unpacked(status_of(InvalidRequest("no"), request_id="r1"))
    assert set(details) == {"ErrorInfo"}


@pytest.mark.parametrize(
    ("resource", "kind"),
    [("voices/x", "chatterbox/Voice"), ("models/x", "chatterbox/Model"), ("moons/x", "")],
)
def test_what_was_not_found_is_told(resource: str, kind: str) -> None:
    _, details = unpacked(status_of(NotFound("gone", resource=resource), request_id="r1"))
    assert details["ResourceInfo"].resource_name == resource
    assert details["ResourceInfo"].resource_type == kind


def test_who_may_come_again_is_told_when() -> None:
    _, full = unpacked(status_of(Overloaded("full", retry_after_s=2.5), request_id="r1"))
    _, stopped = unpacked(status_of(EngineStopped("bye"), request_id="r1"))
    assert full["RetryInfo"].retry_delay.ToTimedelta().total_seconds() == 2.5
    assert stopped["RetryInfo"].retry_delay.seconds == 1


def test_http_clients_are_told_when_to_come_again_and_how_to_say_who_they_are() -> None:
    spent = dict(
        status_of(LimitReached("spent", retry_after_s=2.5), request_id="r1").trailing_metadata
    )
    assert (spent["retry-after"], spent["x-error-code"]) == ("3", "LIMIT_REACHED")

    unknown = status_of(Unauthenticated("who?", reason="NO_CREDENTIALS"), request_id="r1")
    assert unknown.code is grpc.StatusCode.UNAUTHENTICATED
    plain = dict(unknown.trailing_metadata)
    assert plain["www-authenticate"] == "Bearer"
    assert (plain["x-error-type"], plain["x-error-code"]) == (
        "invalid_request_error",
        "NO_CREDENTIALS",
    )
    known = dict(status_of(PermissionDenied("no"), request_id="r1").trailing_metadata)
    assert "www-authenticate" not in known


def test_an_internal_error_tells_only_where_to_look() -> None:
    message, details = unpacked(internal_error(request_id="r1"))
    assert (message.code, message.message) == (code_pb2.INTERNAL, "internal error")
    assert dict(details["ErrorInfo"].metadata) == {"request_id": "r1"}


def test_a_status_fits_into_a_header_whatever_the_client_sent() -> None:
    error = InvalidRequest("x" * 100_000, field="y" * 100_000)
    packed = dict(status_of(error, request_id="z" * 128).trailing_metadata)
    assert len(packed["grpc-status-details-bin"]) < 4096


def test_a_proxy_finds_the_essentials_in_plain_words() -> None:
    wrong = dict(status_of(InvalidRequest("no", field="speed"), request_id="r1").trailing_metadata)
    assert wrong["x-error-type"] == "invalid_request_error"
    assert wrong["x-error-code"] == "INVALID_REQUEST"
    assert wrong["x-error-param"] == "speed"

    full = dict(status_of(Overloaded("later"), request_id="r1").trailing_metadata)
    assert (full["x-error-type"], full["x-error-code"]) == ("rate_limit_error", "OVERLOADED")
    assert "x-error-param" not in full

    bug = dict(internal_error(request_id="r1").trailing_metadata)
    assert (bug["x-error-type"], bug["x-error-code"]) == ("server_error", "INTERNAL")
