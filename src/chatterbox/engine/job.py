"""Job: work that a device has begun, and may be busy with while its thread begins something else."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """Begun on a device. One that is let go of without asking for its result costs nothing more."""

    @property
    def is_done(self) -> bool:
        """Whether `result` would not wait."""

    @property
    def seconds(self) -> float | None:
        """What it took, once it is done; None where whoever began it has waited for all of it."""

    def result(self) -> T_co:
        """Wait for it; to be asked once. Raises what went wrong."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A job that was over when it was given away: all there is where a device runs at once."""

    value: T

    @property
    def is_done(self) -> bool:
        return True

    @property
    def seconds(self) -> None:
        return None

    def result(self) -> T:
        return self.value
