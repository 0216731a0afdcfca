"""What the comparison finds: rows of figures, each held against its bar."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

_NEAR_THE_LIMIT = 0.8  # counts where a bar lies beyond what the machine can do


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What is asked of a ratio: at least, or at most."""

    value: float
    at_most: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.value if self.at_most else ratio >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison: pairs of measurements taken one right after the other.

    Each pair gives a ratio, so that what slows both sides down does not count; the row's ratio is
    the median of theirs.
    """

    name: str
    unit: str
    ratios: tuple[float, ...]
    theirs: tuple[float, ...]  # the reference's, or what ours is compared with
    ours: tuple[float, ...]
    bar: Bar | None
    limits: tuple[float, ...] = ()  # of each of `ours`, from what the machine did just then

    @classmethod
    def rates(cls, name: str, theirs: Sequence[float], ours: Sequence[float], **rest: Any) -> "Row":
        """More is better: the ratio is ours over theirs."""
        ratios = tuple(our / their for our, their in zip(ours, theirs, strict=True))
        return cls(name=name, ratios=ratios, theirs=tuple(theirs), ours=tuple(ours), **rest)

    @classmethod
    def times(cls, name: str, theirs: Sequence[float], ours: Sequence[float], **rest: Any) -> "Row":
        """Less is better: the ratio is theirs over ours."""
        ratios = tuple(their / our for our, their in zip(ours, theirs, strict=True))
        return cls(name=name, ratios=ratios, theirs=tuple(theirs), ours=tuple(ours), **rest)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def share_of_limit(self) -> float | None:
        """How near ours comes to what the machine can do; rates alone have limits."""
        if not self.limits:
            return None
        pairs = zip(self.ours, self.limits, strict=True)
        return statistics.median(our / limit for our, limit in pairs)

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        if self.bar.is_met(self.ratio):
            return "met"
        near = self.share_of_limit is not None and self.share_of_limit >= _NEAR_THE_LIMIT
        return "at the machine's limit" if near else "MISSED"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "reference": _median(self.theirs),
            "ours": _median(self.ours),
            "ratio": _median(self.ratios),
            "least_ratio": min(self.ratios),
            "most_ratio": max(self.ratios),
            "pairs": len(self.ratios),
            "bar": None if self.bar is None else str(self.bar),
            "share_of_limit": self.share_of_limit,
            "verdict": self.verdict,
        }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def table_of(rows: Sequence[Row]) -> Table:
    """The rows for people."""
    table = Table("", "unit", "reference", "ours", "ratio", "spread", "bar", "of limit", "verdict")
    for row in rows:
        table.add_row(
            row.name,
            row.unit,
            *(
                "" if value is None else f"{value:.3g}"
                for value in (_median(row.theirs), _median(row.ours))
            ),
            f"{row.ratio:.2f}",
            f"{min(row.ratios):.2f}-{max(row.ratios):.2f}",
            "" if row.bar is None else str(row.bar),
            "" if row.share_of_limit is None else f"{row.share_of_limit:.0%}",
            row.verdict,
        )
    return table
