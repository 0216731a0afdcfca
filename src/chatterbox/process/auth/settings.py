"""AuthSettings: the flags of who may call, the same for every process of ours that listens."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import is_local
from chatterbox.process.auth.callers import Limits, TokenRules

Bound = Annotated[int, Field(ge=1, le=1_000_000_000)]


class AuthSettings(BaseSettings):
    """Nobody is asked while all of these are left alone, which is refused to who listens beyond
    this machine."""

    keys: Path | None = Field(
        None, description="file of API keys, from `chatterbox keys create`; calls then need one"
    )
    jwks: str | None = Field(
        None, description="JSON Web Key Set, file or https URL; its issuer's tokens are then taken"
    )
    jwt_issuer: str | None = Field(None, description="what tokens must have as `iss`")
    jwt_audience: str | None = Field(None, description="what tokens must have in `aud`")
    jwt_admin_scope: str = Field(
        "chatterbox.admin", description="scope of tokens that may see and drain backends"
    )
    caller_streams: Bound | None = Field(
        None, description="streams at once of each key or subject that has no limit of its own"
    )
    caller_characters_per_minute: Bound | None = Field(
        None, description="text of each key or subject that has no limit of its own"
    )
    insecure_no_auth: bool = Field(
        default=False, description="let anybody call, also from other machines"
    )
    reflection: bool | None = Field(
        None,
        description="whether gRPC reflection is served; only while nobody needs a key, if unset",
    )

    @property
    def asks(self) -> bool:
        """Whether callers must say who they are."""
        return self.keys is not None or self.jwks is not None

    @property
    def serves_reflection(self) -> bool:
        """Whether methods may be asked for."""
        return not self.asks if self.reflection is None else self.reflection

    def check_entrance(self, *addresses: str, others: str = "") -> None:
        """Raises ConfigError for flags that contradict each other, and when anybody on other
        machines could call on one of these addresses. `others` names more ways out."""
        if self.insecure_no_auth and self.asks:
            raise ConfigError("--insecure-no-auth contradicts --keys and --jwks")
        is_complete = self.jwt_issuer is not None and self.jwt_audience is not None
        if self.jwks is not None and not is_complete:
            raise ConfigError("--jwks needs --jwt-issuer and --jwt-audience")
        if self.jwks is None and (self.jwt_issuer is not None or self.jwt_audience is not None):
            raise ConfigError("--jwt-issuer and --jwt-audience need --jwks")
        beyond = [address for address in addresses if not is_local(address)]
        if beyond and not (self.asks or self.insecure_no_auth):
            raise ConfigError(
                f"on {beyond[0]} other machines could call: give --keys FILE (`chatterbox keys "
                f"create NAME` makes one) or --jwks{others}, or let anybody call by "
                "--insecure-no-auth"
            )

    def token_rules(self, limits: Limits) -> TokenRules:
        """What tokens must say, once `check_entrance` has passed."""
        assert self.jwt_issuer is not None
        assert self.jwt_audience is not None
        return TokenRules(
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            admin_scope=self.jwt_admin_scope,
            limits=limits,
        )

    def auth_flags(self) -> list[str]:
        """The flags that make another process ask the same."""
        flags = []
        for name in AuthSettings.model_fields:
            value = getattr(self, name)
            if name in self.model_fields_set and value is not None:
                flags += [f"--{name.replace('_', '-')}", str(value)]
        return flags
