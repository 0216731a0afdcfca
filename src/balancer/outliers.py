"""Outliers: backends that fail call after call are left alone for a while.

Health says whether a backend believes in itself; this is what its callers say. Pure: a `Record` is
a value, and the time is an argument.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierRules:
    """When a backend is ejected, and for how long."""

    failures: int = 3  # in a row
    base_s: float = 10.0  # of the first ejection; the n-th in a row lasts n times as long
    max_s: float = 300.0
    max_share: float = 0.5  # of all backends that may be ejected together
    forgiven_after_s: float = 60.0  # without a failure since the last ejection ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is held against one backend."""

    failures: int = 0  # in a row
    ejections: int = 0  # not yet forgiven
    ejected_until_s: float = 0.0

    def is_ejected(self, now_s: float) -> bool:
        """Whether it is being left alone."""
        return now_s < self.ejected_until_s


def succeeded(record: Record, *, now_s: float, rules: OutlierRules) -> Record:
    """After an answer, good or bad, that shows a sound backend."""
    is_forgiven = now_s >= record.ejected_until_s + rules.forgiven_after_s
    return replace(record, failures=0, ejections=0 if is_forgiven else record.ejections)


def failed(record: Record, *, now_s: float, may_eject: bool, rules: OutlierRules) -> Record:
    """After a failure that a sound backend would not have had; perhaps ejected.

    Calls that were already running may fail while it is ejected; that adds nothing.
    """
    if record.is_ejected(now_s):
        return record
    failures = record.failures + 1
    if failures < rules.failures or not may_eject:
        return replace(record, failures=min(failures, rules.failures))
    ejections = record.ejections + 1
    length_s = min(rules.base_s * ejections, rules.max_s)
    return Record(failures=0, ejections=ejections, ejected_until_s=now_s + length_s)


def may_eject(*, ejected: int, total: int, others_eligible: int, rules: OutlierRules) -> bool:
    """Whether one more may be ejected: never the last, and never too large a share."""
    return others_eligible > 0 and ejected + 1 <= rules.max_share * total
