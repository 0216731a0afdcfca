"""Lifeline: what another backend needs to go on with an answer that broke off.

The model server writes behind its responses where the stream stands (`chatterbox.process.resume`).
Here it is taken off, and the newest is kept whose response has gone to the client.
"""

import grpc

from balancer.attempt import Outcome
from chatterbox.process.resume import Footer, split

MAX_RESUMES = 16  # of one call: a request that kills its servers must not kill them all
MAX_FRUITLESS = 3  # of them in a row, without a message between


class Lifeline:
    """The state of one answer. A backend that offers none gives an answer that cannot be saved."""

    def __init__(self, *, is_wanted: bool) -> None:
        self.is_wanted = is_wanted
        self.footer: Footer | None = None
        self._unmarked = 0  # messages that the client has behind that footer's
        self._known = 0  # messages to come that the client has already
        self._resumes = 0
        self._fruitless = 0

    def take_off(self, message: bytes) -> tuple[bytes | None, Footer | None]:
        """A response as the client is to see it, None if it has it; and what stood behind it."""
        if not self.is_wanted:
            return message, None
        plain, footer = split(message)
        if self._known > 0:
            self._known -= 1
            return None, None
        return plain, footer

    def passed(self, footer: Footer | None) -> None:
        """The client has a response, behind which this stood."""
        self._fruitless = 0
        if footer is None:
            self._unmarked += 1
        else:
            self.footer, self._unmarked = footer, 0

    def saves(self, outcome: Outcome) -> bool:
        """Whether another backend may go on where this end has come."""
        is_broken = outcome.is_lost or outcome.code is grpc.StatusCode.UNAVAILABLE
        has_tries = self._resumes < MAX_RESUMES and self._fruitless < MAX_FRUITLESS
        return is_broken and has_tries and self.footer is not None

    def resumes(self) -> None:
        """Another backend is asked to go on."""
        self._resumes += 1
        self._fruitless += 1
        self._known = self._unmarked
