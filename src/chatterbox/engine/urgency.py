"""Urgency: in which order sequences are served."""

import math
from enum import IntEnum

from chatterbox.engine.sequence import Sequence


class Rank(IntEnum):
    """The order of service; within a rank, by time."""

    FIRST = 0  # a listener sits in silence until this utterance begins
    SOON = 1  # a listener will need more
    AHEAD = 2  # nobody needs it for some time, or nobody listens


def rank(sequence: Sequence, *, now_s: float, lead_s: float) -> Rank:
    """The rank of a sequence; one whose deadline is more than `lead_s` away is AHEAD."""
    if sequence.listener is None:
        return Rank.AHEAD
    if sequence.listener.awaits(sequence, now_s=now_s):
        return Rank.FIRST
    return Rank.AHEAD if sequence.deadline_s - now_s > lead_s else Rank.SOON


def urgency(sequence: Sequence, *, now_s: float, lead_s: float) -> tuple[Rank, float]:
    """A key to sort by, the most urgent first: the earliest deadline within a rank.

    Those ahead take turns instead, or who has no deadline would never be served.
    """
    place = rank(sequence, now_s=now_s, lead_s=lead_s)
    return place, sequence.served_s if place is Rank.AHEAD else sequence.deadline_s


class Turn(IntEnum):
    """In which order those who wait get a slot."""

    GOES_ON = 0  # somebody who is being heard, or was, will soon have nothing left to hear
    NEW = 1  # somebody waits for a first sound
    LATER = 2  # nobody is in a hurry, or nobody listens


def turn(sequence: Sequence, *, now_s: float, low_lead_s: float) -> tuple[Turn, float]:
    """A key to sort by those who wait for a slot."""
    listener = sequence.listener
    if listener is None:
        return Turn.LATER, math.inf
    deadline_s = sequence.deadline_s
    if listener.has_heard:
        return (Turn.GOES_ON if deadline_s - now_s < low_lead_s else Turn.LATER), deadline_s
    return (Turn.NEW if listener.is_first(sequence) else Turn.LATER), deadline_s
