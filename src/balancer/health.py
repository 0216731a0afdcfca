"""Health: whether a backend serves, from what its watch and the regular checks say.

A watch tells at once but can be silently stale; a check costs a second but cannot. So the latest
word of either counts, a watch that breaks is a word, and a check that fails once is not yet one.
"""

from dataclasses import dataclass
from enum import Enum

UNHEALTHY_AFTER = 2  # failed checks in a row; one may be a hiccup


class Answer(Enum):
    """What a backend says when asked whether it serves."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    NONE = "unreachable"


@dataclass(frozen=True, slots=True)
class Health:
    """A value; each event makes the next."""

    answer: Answer = Answer.NONE
    failed_checks: int = 0

    def told(self, *, serving: bool) -> "Health":
        """The backend has said, to a watch or a check, whether it serves."""
        return Health(Answer.SERVING if serving else Answer.NOT_SERVING)

    def watch_broke(self) -> "Health":
        """The connection that the watch was on is gone, and most likely the process."""
        return Health(Answer.NONE, self.failed_checks)

    def check_failed(self) -> "Health":
        """No answer to a check in time."""
        failed = min(self.failed_checks + 1, UNHEALTHY_AFTER)
        return Health(self.answer if failed < UNHEALTHY_AFTER else Answer.NONE, failed)
