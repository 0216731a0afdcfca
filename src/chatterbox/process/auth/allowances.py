"""Allowances: what each caller uses of this process, held to its limits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from chatterbox.errors import LimitReached, Overloaded
from chatterbox.process.auth.bucket import TokenBucket
from chatterbox.process.auth.callers import Caller

MAX_CALLERS = 10_000  # remembered at once; tokens can name any number of them
SWEEP_S = 1.0  # between two looks for callers who can be forgotten
STREAM_RETRY_S = 1.0  # the order of one utterance
MAX_LOOKS = 32  # of one caller at once; each is over in no time, unless it is held open
LOOK_RETRY_S = 1.0


@dataclass(slots=True)
class _Use:
    streams: int = 0
    looks: int = 0
    bucket: TokenBucket | None = None

    def can_be_forgotten(self, now_s: float) -> bool:
        is_idle = self.streams == self.looks == 0
        return is_idle and (self.bucket is None or self.bucket.is_full(now_s))


class Allowances:
    """Belongs to one event loop. A caller is known by its id, while it has a limit or looks."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._uses: dict[str, _Use] = {}
        self._swept_s = float("-inf")

    def __len__(self) -> int:
        return len(self._uses)

    def check_characters(self, caller: Caller) -> None:
        """Raises LimitReached while the caller has sent more text than it may."""
        bucket = self._bucket(caller)
        if bucket is None:
            return
        wait_s = bucket.wait_s(self._now_s())
        if wait_s > 0:
            raise LimitReached(
                f"{caller.limits.characters_per_minute} characters a minute are used up",
                retry_after_s=wait_s,
            )

    def spend(self, caller: Caller, characters: int) -> None:
        """The caller has sent so much text."""
        with suppress(Overloaded):  # forgotten since it was let in, and too many have come
            bucket = self._bucket(caller)
            if bucket is not None:
                bucket.take(characters, self._now_s())

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """One more stream of the caller's. Raises LimitReached when it has as many as it may."""
        limit = caller.limits.max_streams
        if limit is None:
            yield
            return
        use = self._use(caller)
        if use.streams >= limit:
            raise LimitReached(
                f"all {limit} streams of this key are in use", retry_after_s=STREAM_RETRY_S
            )
        use.streams += 1
        try:
            yield
        finally:
            use.streams -= 1

    @contextmanager
    def look(self, caller: Caller) -> Iterator[None]:
        """One more call that only looks, bounded for every caller. Raises LimitReached beyond."""
        use = self._use(caller)
        if use.looks >= MAX_LOOKS:
            raise LimitReached(
                f"{MAX_LOOKS} calls of this key that only look are open", retry_after_s=LOOK_RETRY_S
            )
        use.looks += 1
        try:
            yield
        finally:
            use.looks -= 1
            if use.can_be_forgotten(self._now_s()):
                self._uses.pop(caller.id, None)

    def _bucket(self, caller: Caller) -> TokenBucket | None:
        """The caller's; a new one whenever its limit is another."""
        allowed = caller.limits.characters_per_minute
        if allowed is None:
            return None
        use = self._use(caller)
        if use.bucket is None or use.bucket.capacity != allowed:
            use.bucket = TokenBucket(allowed, per_s=allowed / 60, now_s=self._now_s())
        return use.bucket

    def _use(self, caller: Caller) -> _Use:
        use = self._uses.get(caller.id)
        if use is None:
            if len(self._uses) >= MAX_CALLERS:
                self._sweep()
            use = self._uses[caller.id] = _Use()
        return use

    def _sweep(self) -> None:
        """Forget who owes nothing and has nothing. Raises Overloaded if that is nobody."""
        now_s = self._now_s()
        if now_s >= self._swept_s + SWEEP_S:
            self._swept_s = now_s
            uses = self._uses.items()
            self._uses = {id_: use for id_, use in uses if not use.can_be_forgotten(now_s)}
        if len(self._uses) >= MAX_CALLERS:
            raise Overloaded("too many callers at once")
