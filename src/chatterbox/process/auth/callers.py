"""Caller: who has made a call, and what that one may do."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from chatterbox.errors import PermissionDenied


class Role(StrEnum):
    """What a caller is to us. All but speakers may do what a user may, and their own work besides."""

    SPEAKER = "speaker"  # speaks, and looks at voices and models; for keys that leave the house
    USER = "user"  # also makes, changes and removes voices
    ADMIN = "admin"  # sees and drains backends, watches a model server's load
    BALANCER = "balancer"  # watches the load


INSIDE = "/chatterbox.worker."  # between balancer and model server
# What needs more than being known. All other methods are every caller's.
SPECIAL: dict[str, tuple[Role, ...]] = {
    "/chatterbox.v1.AdminService/": (Role.ADMIN,),
    INSIDE: (Role.BALANCER, Role.ADMIN),
}
# All that speakers may, besides looking.
SPEECH = tuple(
    f"/chatterbox.v1.{name}Service/" for name in ("TextToSpeech", "OpenAI", "VoiceConversion")
)
READ_ONLY = ("Get", "List")  # AIP-131, AIP-132


def is_read_only(method: str) -> bool:
    """Whether /package.Service/Method only looks: cheap, and no stream of anybody's."""
    return method.rpartition("/")[2].startswith(READ_ONLY)


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

    @property
    def is_inside(self) -> bool:
        """Whether it may take part in what lies between our own processes."""
        return self.role in SPECIAL[INSIDE]

    def check(self, method: str) -> None:
        """Raises PermissionDenied if it may not call /package.Service/Method."""
        for prefix, roles in SPECIAL.items():
            if method.startswith(prefix) and self.role not in roles:
                raise PermissionDenied(f"this needs a key of role {roles[0].value}")
        if self.role is Role.SPEAKER and not (method.startswith(SPEECH) or is_read_only(method)):
            raise PermissionDenied("this key may speak and look, and do nothing else")


# Set before a handler runs, in the call's own task; None where nobody is asked.
current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must say. Without an audience anybody's token of the same issuer would do."""

    issuer: str
    audience: str
    admin_scope: str
    limits: Limits = NO_LIMITS  # of each subject
