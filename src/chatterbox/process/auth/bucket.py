"""TokenBucket: an average rate with room for bursts, and with debt. Pure: time is an argument."""

ENOUGH = 1.0 - 1e-6  # one, but for rounding


class TokenBucket:
    """Fills at `per_s` up to `capacity`, full to begin with.

    Whoever takes may take more than there is, as what a call will use is not known before it has
    begun; the rest is owed, and nobody gets in until it is paid. So the average holds over any
    longer time, the most that goes beyond it is one taking, and nothing is too large for ever.
    """

    def __init__(self, capacity: float, *, per_s: float, now_s: float) -> None:
        self.capacity = capacity
        self.per_s = per_s
        self._level = capacity
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """What may be taken without owing anything; negative while something is owed."""
        elapsed_s = max(0.0, now_s - self._at_s)
        return min(self.capacity, self._level + elapsed_s * self.per_s)

    def wait_s(self, now_s: float) -> float:
        """How long until there is one to take; 0 if there is."""
        level = self.level(now_s)
        return 0.0 if level >= ENOUGH else (1.0 - level) / self.per_s

    def take(self, amount: float, now_s: float) -> None:
        """Take it, whether it is there or not."""
        self._level = self.level(now_s) - amount
        self._at_s = max(self._at_s, now_s)

    def is_full(self, now_s: float) -> bool:
        """Whether it is as good as new."""
        return self.level(now_s) >= self.capacity
