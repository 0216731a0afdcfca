"""Keys in a file, and tokens of an issuer, as operators and issuers make them."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from chatterbox.process.auth.key_file import changing_keys
from chatterbox.process.auth.keys import ApiKey, digest_of, id_of, new_key_text


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Of a key file that is not there yet."""
    return tmp_path / "keys.json"


@pytest.fixture
def make_key(key_file: Path) -> Callable[..., str]:
    """Adds a key to the file."""

    def make(name: str = "somebody", **fields: Any) -> str:
        text = new_key_text()
        key_id = id_of(text)
        assert key_id is not None
        with changing_keys(key_file) as keys:
            keys[key_id] = ApiKey(
                id=key_id,
                name=name,
                digest=digest_of(text),
                created=datetime(2026, 1, 1, tzinfo=UTC),
                **fields,
            )
        return text

    return make


class Issuer:
    """Signs tokens with one key of each kind."""

    name, audience = "https://issuer.example", "chatterbox"

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "RS256": rsa.generate_private_key(65_537, 2_048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def key_set(self, *kinds: str) -> str:
        """The public keys as a JSON Web Key Set, whose ids are the algorithms."""
        kind_of = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
        keys = [
            json.loads(kind_of[kind].to_jwk(self.keys[kind].public_key()))
            | {"kid": kind, "alg": kind, "use": "sig"}
            for kind in kinds or self.keys
        ]
        return json.dumps({"keys": keys})

    def token(
        self, kind: str = "ES256", *, key: Any = None, kid: str | None = None, **claims: Any
    ) -> str:
        """A token that is valid for a minute; a claim of None is left out."""
        said = {
            "iss": self.name,
            "aud": self.audience,
            "sub": "somebody",
            "exp": int(time.time()) + 60,
        } | claims
        payload = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(
            payload,
            self.keys[kind] if key is None else key,
            algorithm=kind,
            headers={"kid": kind if kid is None else kid},
        )


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()
