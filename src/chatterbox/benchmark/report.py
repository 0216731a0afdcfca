"""Report: what was measured, with its spread, and on which machine."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chatterbox.benchmark.conditions import Conditions

Advance = Callable[[float], None]  # called as a measurement goes on, with the share then done

# What every report answers, with null where it was not measured.
HEADLINES = ("tokens_per_s", "rtf", "ttfa_s", "audio_s_per_s", "underruns", "peak_rss_mb")


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured once or more; its name ends in its unit."""

    name: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[float]) -> "Figure":
        return cls(name, tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a figure says, held against what it should."""

    says: str
    is_good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineInfo:
    """Where it was measured."""

    cpu: str
    cores: int  # that this process may use
    device: str
    torch: str
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of one measurement, in the order of measuring; names do not repeat."""

    conditions: Conditions
    machine: MachineInfo
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...] = ()

    def __post_init__(self) -> None:
        names = [figure.name for figure in self.figures]
        assert len(set(names)) == len(names), "a figure is measured in one place"

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.figures)

    @property
    def by_name(self) -> Mapping[str, Figure]:
        return {figure.name: figure for figure in self.figures}

    def as_json(self) -> dict[str, Any]:
        """Conditions, the headline medians, every figure with its spread, the machine."""
        asked, figures = self.conditions, self.by_name
        return {
            "family": asked.family_id,
            "what": asked.what,
            "precision": asked.precision,
            "streams": asked.streams,
            "threads": asked.threads,
            "random_weights": asked.random_weights,
            "seconds": asked.duration_s,
            "repeats": asked.repeats,
            "seed": asked.seed,
            **{
                name: _rounded(figures[name].median) if name in figures else None
                for name in HEADLINES
            },
            "figures": {
                figure.name: {
                    "median": _rounded(figure.median),
                    "min": _rounded(figure.low),
                    "max": _rounded(figure.high),
                    "runs": len(figure.values),
                }
                for figure in self.figures
            },
            "verdicts": {verdict.says: verdict.is_good for verdict in self.verdicts},
            "torch": self.machine.torch,
            "cpu": self.machine.cpu,
            "cores": self.machine.cores,
            "device": self.machine.device,
            "system": self.machine.system,
        }


def _rounded(value: float) -> float:
    """Six significant digits: more than any clock here can tell."""
    return float(f"{value:.6g}")
