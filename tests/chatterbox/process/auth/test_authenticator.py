"""Where a key or a token is found in a call."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import PermissionDenied, Unauthenticated
from chatterbox.process.auth.authenticator import Authenticator, credentials_in
from chatterbox.process.auth.callers import NO_LIMITS, Caller, Role
from chatterbox.process.auth.key_ring import KeyRing


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Bearer it")],
        [("authorization", "bearer   it ")],
        [("x-api-key", " it")],
        [("x-api-key", "not this"), ("authorization", "Bearer it"), ("other", "x")],
    ],
)
def test_credentials_are_found(metadata: list[tuple[str, Any]]) -> None:
    assert credentials_in(metadata) == "it"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ([], "NO_CREDENTIALS"),
        ([("cookie", "it")], "NO_CREDENTIALS"),
        ([("authorization", "it")], "INVALID_CREDENTIALS"),
        ([("authorization", "Basic it")], "INVALID_CREDENTIALS"),
        ([("authorization", "Bearer a b")], "INVALID_CREDENTIALS"),
        ([("authorization", "Bearer ")], "INVALID_CREDENTIALS"),
        ([("authorization", "Bearer a"), ("authorization", "Bearer a")], "INVALID_CREDENTIALS"),
        ([("x-api-key", "a"), ("x-api-key", "b")], "INVALID_CREDENTIALS"),
    ],
)
def test_what_cannot_be_credentials_is_refused(
    metadata: list[tuple[str, Any]], reason: str
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        credentials_in(metadata)
    assert caught.value.reason == reason


async def test_where_only_keys_are_taken_a_token_is_not(key_file: Path, make_key: Any) -> None:
    text = make_key()
    authenticator = Authenticator(keys=KeyRing(key_file, defaults=NO_LIMITS))
    caller = await authenticator.caller_of([("x-api-key", text)])
    assert caller.id == text[:11]
    with pytest.raises(Unauthenticated, match="no API key") as caught:
        await authenticator.caller_of([("authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")])
    assert "eyJ" not in caught.value.message


async def test_expiry_is_told_by_the_clock(key_file: Path, make_key: Any) -> None:
    text = make_key(expires=datetime(2026, 1, 2, tzinfo=UTC))
    authenticator = Authenticator(keys=KeyRing(key_file, defaults=NO_LIMITS))
    with pytest.raises(Unauthenticated, match="expired"):
        await authenticator.caller_of([("x-api-key", text)])


@pytest.mark.parametrize(
    ("method", "roles"),
    [
        ("/chatterbox.v1.TextToSpeechService/Synthesize", set(Role)),
        ("/chatterbox.v1.VoicesService/ListVoices", set(Role)),
        ("/chatterbox.v1.OpenAIService/CreateSpeech", set(Role)),
        ("/chatterbox.v1.VoicesService/DeleteVoice", set(Role) - {Role.SPEAKER}),
        ("/chatterbox.v1.VoicesService/ExportVoice", set(Role) - {Role.SPEAKER}),
        ("/some.new.Service/Method", set(Role) - {Role.SPEAKER}),
        ("/chatterbox.v1.AdminService/ListBackends", {Role.ADMIN}),
        ("/chatterbox.v1.AdminService/DrainBackend", {Role.ADMIN}),
        ("/chatterbox.worker.v1.WorkerService/WatchLoad", {Role.BALANCER, Role.ADMIN}),
    ],
)
def test_roles_allow_what_they_are_for(method: str, roles: set[Role]) -> None:
    for role in Role:
        caller = Caller(id="x", role=role)
        if role in roles:
            caller.check(method)
        else:
            with pytest.raises(PermissionDenied):
                caller.check(method)
