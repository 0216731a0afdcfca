"""Caller: who has made a call, and what that one may do."""

from dataclasses import dataclass
from enum import StrEnum

from chatterbox.errors import PermissionDenied


class Role(StrEnum):
    """What a caller is to us. Each may do what a user may, and its own work besides."""

    USER = "user"
    ADMIN = "admin"  # sees and drains backends, watches a model server's load
    BALANCER = "balancer"  # watches the load


# What needs more than being known. All other methods are every caller's.
SPECIAL: dict[str, tuple[Role, ...]] = {
    "/chatterbox.v1.AdminService/": (Role.ADMIN,),
    "/chatterbox.worker.": (Role.BALANCER, Role.ADMIN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one caller may use of a process; None is as much as there is."""

    max_streams: int | None = None  # at once
    characters_per_minute: int | None = None  # on average, a minute's worth at once


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The holder of a key or of a token."""

    id: str  # the visible part of a key, or sub: and the subject of a token; goes into logs
    role: Role
    limits: Limits = NO_LIMITS

    def check(self, method: str) -> None:
        """Raises PermissionDenied if it may not call /package.Service/Method."""
        for prefix, roles in SPECIAL.items():
            if method.startswith(prefix) and self.role not in roles:
                raise PermissionDenied(f"this needs a key of role {roles[0].value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must say. Without an audience anybody's token of the same issuer would do."""

    issuer: str
    audience: str
    admin_scope: str
    limits: Limits = NO_LIMITS  # of each subject
