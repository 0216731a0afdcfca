"""Plan: what the device does next, as the scheduler decided it."""

from dataclasses import dataclass

from chatterbox.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Prefill:
    """Positions `start` to `stop` of a sequence's prefix, to be read now.

    The pieces of a prefix come in order, without gaps; the last one gives the first token.
    """

    sequence: Sequence
    start: int
    stop: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A turn of the device: newcomers read, the others draw `steps` tokens each."""

    prefill: tuple[Prefill, ...]
    decode: tuple[Sequence, ...]
    steps: int = 1

    @property
    def is_empty(self) -> bool:
        return not self.prefill and not self.decode

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """Everyone who takes part."""
        return (*(piece.sequence for piece in self.prefill), *self.decode)
