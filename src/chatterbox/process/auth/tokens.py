"""TokenVerifier: JSON Web Tokens (RFC 7519) of an issuer that the operator trusts."""

from typing import Any

import jwt

from chatterbox.errors import Unauthenticated
from chatterbox.process.auth.callers import Caller, Role, TokenRules
from chatterbox.process.auth.jwks import ALGORITHMS, Jwks

MAX_CHARACTERS = 8_192
MAX_SUBJECT_CHARACTERS = 256  # it goes into logs and is remembered
LEEWAY_S = 30.0  # between our clock and the issuer's


class TokenVerifier:
    """Tells who holds a token."""

    def __init__(self, keys: Jwks, rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules

    async def caller_of(self, token: str) -> Caller:
        """The subject of a token. Raises Unauthenticated if it is not valid."""
        try:
            claims = self._claims(token, await self._key_of(token))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("this token has expired", reason="EXPIRED_TOKEN") from None
        except (jwt.PyJWTError, RecursionError) as error:  # of JSON in JSON in JSON
            raise Unauthenticated(
                f"this token is not valid: {error}", reason="INVALID_TOKEN"
            ) from None
        is_admin = self._rules.admin_scope in _scopes(claims)
        return Caller(
            id=f"sub:{claims['sub']}",  # so that no subject is taken for a key
            role=Role.ADMIN if is_admin else Role.USER,
            limits=self._rules.limits,
        )

    async def _key_of(self, token: str) -> jwt.PyJWK:
        if len(token) > MAX_CHARACTERS:
            raise jwt.InvalidTokenError("it is too long")
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError("its algorithm is not allowed")
        key = await self._keys.find(header.get("kid"))
        if key is None:
            raise jwt.InvalidTokenError("it is signed with a key that is not known")
        return key

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._rules.audience,
            issuer=self._rules.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        if len(claims["sub"]) > MAX_SUBJECT_CHARACTERS:
            raise jwt.InvalidTokenError("its subject is too long")
        return claims


def _scopes(claims: dict[str, Any]) -> list[str]:
    """Of the claim `scope` (RFC 8693) or, as some issuers have it, `scp`."""
    scopes = claims.get("scope", claims.get("scp"))
    if isinstance(scopes, str):
        return scopes.split()
    return [scope for scope in scopes if isinstance(scope, str)] if isinstance(scopes, list) else []
