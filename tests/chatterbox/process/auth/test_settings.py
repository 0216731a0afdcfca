"""When callers must be asked, and what is said when nobody would be."""

from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import is_local
from chatterbox.process.auth.settings import AuthSettings
from chatterbox.process.settings import parse

TOKENS = {"jwks": "keys.json", "jwt_issuer": "i", "jwt_audience": "a"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/run/it", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("speech.example:1", False),
        ("localhost.example:1", False),
    ],
)
def test_local_is_what_only_this_machine_reaches(address: str, expected: bool) -> None:  # noqa: FBT001
    assert is_local(address) is expected


def test_nobody_is_asked_on_this_machine() -> None:
    settings = AuthSettings()
    settings.check_entrance("127.0.0.1:1", "unix:/run/it")
    assert not settings.asks
    assert settings.serves_reflection


def test_listening_elsewhere_needs_a_decision_and_the_error_names_every_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        AuthSettings().check_entrance("127.0.0.1:1", "0.0.0.0:2", others=", or magic")
    for word in ("0.0.0.0:2", "--keys", "--jwks", "chatterbox keys create", "--insecure-no-auth"):
        assert word in caught.value.message
    assert ", or magic" in caught.value.message


@pytest.mark.parametrize("given", [{"keys": Path("k")}, TOKENS, {"insecure_no_auth": True}])
def test_any_decision_will_do(given: dict[str, Any]) -> None:
    AuthSettings(**given).check_entrance("0.0.0.0:1")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"keys": Path("k"), "insecure_no_auth": True}, "contradicts"),
        ({"jwks": "x"}, "--jwt-audience"),
        ({"jwks": "x", "jwt_issuer": "i"}, "--jwt-audience"),
        ({"jwt_audience": "a"}, "need --jwks"),
    ],
)
def test_what_does_not_fit_together_is_told(given: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        AuthSettings(**given).check_entrance("127.0.0.1:1")


def test_reflection_is_off_where_callers_are_asked_unless_switched_on() -> None:
    assert not AuthSettings(keys=Path("k")).serves_reflection
    assert AuthSettings(keys=Path("k"), reflection=True).serves_reflection
    assert not AuthSettings(reflection=False).serves_reflection


def test_another_process_is_made_to_ask_the_same() -> None:
    settings = AuthSettings(keys=Path("k.json"), caller_streams=4, **TOKENS)
    again = parse(AuthSettings, settings.auth_flags(), program="x", description="")
    assert again == settings
    assert AuthSettings().auth_flags() == []


def test_a_switch_may_stand_alone() -> None:
    for flags in (["--insecure-no-auth"], ["--insecure-no-auth", "true"]):
        settings = parse(AuthSettings, [*flags, "--keys", "k"], program="x", description="")
        assert settings.insecure_no_auth
    assert not parse(
        AuthSettings, ["--insecure-no-auth", "false"], program="x", description=""
    ).insecure_no_auth
