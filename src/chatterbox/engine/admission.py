"""Admission: who of those that wait gets the next slot, or nobody yet.

A slot is given for a whole utterance, and a stream that has begun must be carried to its end, so
nobody is let in at the expense of those who are already being heard.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass

from chatterbox.engine.capacity import Costs
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.listener import Listener
from chatterbox.engine.onset import can_last
from chatterbox.engine.sequence import Sequence
from chatterbox.engine.urgency import Rank, Turn, rank, turn

Stream = Listener | Sequence  # a listener, or what is spoken without one


def stream_limit(config: EngineConfig, costs: Costs) -> int | None:
    """The most streams that the device carries in real time, at least one; None: no limit."""
    utilisation, bounds = config.max_utilisation, (config.slots, config.render_batch)
    if utilisation == 0:
        return None
    limit = costs.stream_limit(utilisation, *bounds)
    if limit is not None and limit > config.slots:
        # Streams beyond the slots wait for whole utterances of others, which takes slack.
        limit = max(config.slots, costs.stream_limit(utilisation / 2, *bounds) or 0)
    return None if limit is None else max(1, limit)


def streams_of(sequences: Iterable[Sequence]) -> set[Stream]:
    """Those the device works for.

    Who is being heard is one of them even while the next utterance still waits for a slot.
    """
    return {
        s.listener or s
        for s in sequences
        if not s.is_waiting or (s.listener is not None and s.listener.goes_on(s))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The choice at `now_s`, with what work costs by then. There are waiting ones and free slots."""

    config: EngineConfig
    costs: Costs
    now_s: float
    waiting: Several[Sequence]
    running: Several[Sequence]
    voicing: Several[Sequence]
    free_slots: int

    def choose(self) -> Sequence | None:
        """Whoever gets a slot now."""
        streams = streams_of([*self.waiting, *self.running, *self.voicing])
        # What nobody listens to gives way to listeners, and so does not count against them.
        listeners = sum(isinstance(stream, Listener) for stream in streams)
        has_room = {True: self._has_room(listeners), False: self._has_room(len(streams))}
        turns = {
            sequence: turn(sequence, now_s=self.now_s, low_lead_s=self.config.low_lead_s)
            for sequence in self.waiting
            if sequence.listener in streams or has_room[sequence.listener is not None]
        }
        unread = sum(s.position_count - s.read_count for s in self.running if s.listener)
        for sequence in sorted(turns, key=turns.__getitem__):
            if unread >= self.config.prefill_positions:
                return None  # nobody would gain by a slot: others have a whole turn to read
            if turns[sequence][0] is not Turn.LATER or self._can_spare_a_slot(streams, sequence):
                return sequence
        return None

    def _has_room(self, streams: int) -> bool:
        """Whether one more stream can be carried, and begin, without a gap for anybody."""
        limit = stream_limit(self.config, self.costs)
        if streams == 0 or limit is None:
            return True
        return streams < limit and self._can_begin_another(streams + 1)

    def _can_begin_another(self, streams: int) -> bool:
        first_tokens = self.config.first_chunk_tokens
        beginning = 1 + sum(self._rank(sequence) is Rank.FIRST for sequence in self.running)
        delay_s = first_tokens * self.costs.step.seconds(len(self.running) + 1)
        delay_s += beginning * self.costs.render_s(1, first_tokens)
        _, render_s = self.costs.token_s(streams, self.config.slots, self.config.render_batch)
        draw_s = self.costs.step.seconds(len(self.running) + 1)
        return all(
            can_last(
                sequence,
                self.config,
                lead_s=sequence.deadline_s - self.now_s - delay_s,
                draw_s=draw_s,
                render_s=render_s,
            )
            for sequence in (*self.running, *self.voicing)
            if sequence.is_heard and sequence.listener is not None
        )

    def _can_spare_a_slot(self, streams: set[Stream], sequence: Sequence) -> bool:
        """Whether nobody in a hurry misses the slot that one without hurry would take."""
        without_slot = streams - {other.listener or other for other in self.running}
        if sequence.listener in without_slot:
            return True
        if any(self._rank(other) is Rank.FIRST for other in self.running):
            return False
        kept = len(without_slot)
        return self.free_slots > (kept if sequence.listener else kept + self.config.slots // 4)

    def _rank(self, sequence: Sequence) -> Rank:
        return rank(sequence, now_s=self.now_s, lead_s=self.config.lead_s)
