"""Guard: what one process has to ask its callers with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from prometheus_client import CollectorRegistry, Counter

from chatterbox.process.auth.authenticator import Authenticator
from chatterbox.process.auth.callers import Limits
from chatterbox.process.auth.interceptor import AuthInterceptor, Meters
from chatterbox.process.auth.key_ring import KeyRing
from chatterbox.process.auth.settings import AuthSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The first interceptors of a server; none where nobody is asked."""

    interceptors: tuple["grpc.aio.ServerInterceptor[Any, Any]", ...] = ()


@asynccontextmanager
async def guarding(
    settings: AuthSettings, *, meters: Meters, registry: CollectorRegistry, prefix: str
) -> AsyncIterator[Guard]:
    """A guard as the settings say, which keeps up with keys while the context lasts.

    Metrics get the prefix. Raises ConfigError when keys cannot be read.
    """
    if not settings.asks:
        yield Guard()
        return
    limits = Limits(
        max_streams=settings.caller_streams,
        characters_per_minute=settings.caller_characters_per_minute,
    )
    following: list[Callable[[], Coroutine[Any, Any, None]]] = []
    keys = tokens = None
    if settings.keys is not None:
        keys = KeyRing(settings.keys, defaults=limits)
        log.info("keys", file=str(settings.keys), keys=len(keys))
        following.append(keys.follow)
    if settings.jwks is not None:
        # Not at the top: who takes no tokens need not load all of cryptography.
        from chatterbox.process.auth.jwks import Jwks
        from chatterbox.process.auth.tokens import TokenVerifier

        jwks = Jwks(settings.jwks)
        await jwks.load()
        tokens = TokenVerifier(jwks, settings.token_rules(limits))
        following.append(jwks.follow)
    refusals = Counter(
        f"{prefix}_access_refusals", "Calls refused to their caller.", ["reason"], registry=registry
    )
    interceptor = AuthInterceptor(
        Authenticator(keys=keys, tokens=tokens),
        meters=meters,
        has_reflection=settings.serves_reflection,
        refused=lambda reason: refusals.labels(reason).inc(),
    )
    tasks = [asyncio.create_task(follow()) for follow in following]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield Guard(interceptors=(interceptor,))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell(task: "asyncio.Task[None]") -> None:
    """Whoever no longer follows its keys must not do so in silence."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("keys are no longer followed", exc_info=error)
