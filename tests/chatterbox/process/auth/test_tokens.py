"""Tokens that are taken, and all the ways in which they are not."""

import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from chatterbox.errors import Unauthenticated
from chatterbox.process.auth.callers import Limits, Role, TokenRules
from chatterbox.process.auth.jwks import Jwks
from chatterbox.process.auth.tokens import LEEWAY_S, MAX_CHARACTERS, TokenVerifier

RULES = TokenRules(
    issuer="https://issuer.example",
    audience="chatterbox",
    admin_scope="chatterbox.admin",
    limits=Limits(max_streams=4),
)
PUBLIC = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
STALE_S = LEEWAY_S + 5


@pytest.fixture
async def verifier(issuer: Any, tmp_path: Path) -> TokenVerifier:
    file = tmp_path / "jwks.json"
    file.write_text(issuer.key_set())
    keys = Jwks(str(file))
    await keys.load()
    return TokenVerifier(keys, RULES)


async def refusal(verifier: TokenVerifier, token: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.caller_of(token)
    secret = token.rpartition(".")[2]
    assert len(secret) < 8 or secret not in caught.value.message
    return caught.value


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
async def test_each_algorithm_is_taken(verifier: TokenVerifier, issuer: Any, kind: str) -> None:
    caller = await verifier.caller_of(issuer.token(kind, sub="alice"))
    assert (caller.id, caller.role, caller.limits.max_streams) == ("sub:alice", Role.USER, 4)


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"scope": "openid chatterbox.admin"}, Role.ADMIN),
        ({"scp": ["chatterbox.admin"]}, Role.ADMIN),
        ({"scope": "chatterbox.administrator"}, Role.USER),
        ({"scope": 7}, Role.USER),
        ({"scope": [7, {"chatterbox.admin": 1}]}, Role.USER),
    ],
)
async def test_the_admin_scope_makes_an_admin(
    verifier: TokenVerifier, issuer: Any, claims: dict[str, Any], role: Role
) -> None:
    assert (await verifier.caller_of(issuer.token(**claims))).role is role


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": int(time.time() - STALE_S)}, "EXPIRED_TOKEN"),
        ({"exp": None}, "INVALID_TOKEN"),
        ({"exp": "soon"}, "INVALID_TOKEN"),
        ({"nbf": int(time.time() + 600)}, "INVALID_TOKEN"),
        ({"iss": "https://other.example"}, "INVALID_TOKEN"),
        ({"iss": None}, "INVALID_TOKEN"),
        ({"aud": "somebody else"}, "INVALID_TOKEN"),
        ({"aud": None}, "INVALID_TOKEN"),
        ({"sub": None}, "INVALID_TOKEN"),
        ({"sub": "x" * 257}, "INVALID_TOKEN"),
    ],
)
async def test_a_token_that_does_not_say_what_it_must_is_refused(
    verifier: TokenVerifier, issuer: Any, claims: dict[str, Any], reason: str
) -> None:
    assert (await refusal(verifier, issuer.token(**claims))).reason == reason


async def test_clocks_may_differ_a_little(verifier: TokenVerifier, issuer: Any) -> None:
    await verifier.caller_of(issuer.token(exp=int(time.time() - LEEWAY_S / 2)))


async def test_one_audience_of_several_will_do(verifier: TokenVerifier, issuer: Any) -> None:
    await verifier.caller_of(issuer.token(aud=["mail", "chatterbox"]))


async def test_a_token_of_another_key_is_refused(verifier: TokenVerifier, issuer: Any) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    await refusal(verifier, issuer.token("ES256", key=stranger))
    await refusal(verifier, issuer.token("ES256", key=stranger, kid="unknown"))
    await refusal(verifier, issuer.token("ES256", kid="RS256"))


async def test_a_token_without_a_signature_is_refused(verifier: TokenVerifier, issuer: Any) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    await refusal(verifier, jwt.encode(claims, None, algorithm="none"))
    head, body, _ = issuer.token().split(".")
    await refusal(verifier, f"{head}.{body}.")


async def test_a_public_key_is_no_shared_secret(verifier: TokenVerifier, issuer: Any) -> None:
    """The old trick: sign with HMAC and what everybody knows."""
    known = issuer.keys["ES256"].public_key().public_bytes(*PUBLIC)
    _, body, _ = issuer.token().split(".")
    head = base64url_encode(b'{"alg":"HS256","kid":"ES256"}').decode()
    signature = base64url_encode(hmac.digest(known, f"{head}.{body}".encode(), "sha256")).decode()
    assert "algorithm" in (await refusal(verifier, f"{head}.{body}.{signature}")).message


async def test_a_changed_token_is_refused(verifier: TokenVerifier, issuer: Any) -> None:
    head, _, signature = issuer.token().split(".")
    body = issuer.token(scope="chatterbox.admin").split(".")[1]
    await refusal(verifier, f"{head}.{body}.{signature}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["ES256", "RS256", "EdDSA"]) | json_values},
    optional={"kid": st.sampled_from(["ES256", "RS256"]) | json_values, "crit": json_values},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=headers | json_values, body=json_values | st.binary(), signature=st.binary(max_size=80)
)
async def test_whatever_is_sent_the_answer_is_a_refusal(
    verifier: TokenVerifier, header: Any, body: Any, signature: bytes
) -> None:
    parts = [
        json.dumps(header).encode(),
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        signature,
    ]
    with pytest.raises(Unauthenticated):
        await verifier.caller_of(".".join(base64url_encode(part).decode() for part in parts))


@pytest.mark.parametrize(
    "header",
    [{"jku": "https://foe.example"}, {"jwk": {"kty": "oct"}}, {"x5u": "https://foe.example"}],
)
async def test_a_header_brings_no_key_of_its_own(
    verifier: TokenVerifier, issuer: Any, header: dict[str, Any]
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for kid in ({"kid": "ES256"}, {}):
        forged = jwt.encode(claims, stranger, algorithm="ES256", headers=header | kid)
        await refusal(verifier, forged)


async def test_what_must_be_understood_and_is_not_is_refused(
    verifier: TokenVerifier, issuer: Any
) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    headers = {"kid": "ES256", "crit": ["purpose"], "purpose": "mail"}
    strict = jwt.encode(claims, issuer.keys["ES256"], algorithm="ES256", headers=headers)
    assert "extension" in (await refusal(verifier, strict)).message


async def test_json_without_end_is_refused(verifier: TokenVerifier) -> None:
    deep = base64url_encode(b"[" * 5_000).decode()
    assert (await refusal(verifier, f"{deep}.e30.AAAA")).reason == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "token", ["a", "a.b.c", "..", "e30.e30.e30", "x" * (MAX_CHARACTERS + 1), "\u00e9.\u00e9.\u00e9"]
)
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    assert (await refusal(verifier, token)).reason == "INVALID_TOKEN"
