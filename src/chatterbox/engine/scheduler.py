"""Scheduler: who decodes next, whose audio is rendered next. Plain Python.

    submit → WAITING → admit → READING → plan … → SPEAKING → commit … → VOICING → rendered … → DONE

It holds no tensor, reads no clock and waits for nothing; time comes in as an argument.
"""

from collections import deque
from collections.abc import Mapping

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.plan import Plan, Prefill
from chatterbox.engine.sequence import Chunk, Finish, Phase, Sequence
from chatterbox.errors import Overloaded

# A follow-up utterance is wanted when those before it have been played, not at once.
FOLLOW_UP_SLACK_S = 4.0


class Scheduler:
    """Admits, plans and keeps account of every sequence until it is done or cancelled."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in slots, in order of admission
        self.voicing: list[Sequence] = []  # drawn to the end, audio outstanding
        self._free_slots: list[int] = list(range(config.slots))[::-1]

    @property
    def open_count(self) -> int:
        return len(self.waiting) + len(self.running) + len(self.voicing)

    @property
    def is_idle(self) -> bool:
        return self.open_count == 0

    def submit(self, sequence: Sequence, *, now_s: float = 0.0) -> None:
        """Queue a new sequence; raises Overloaded when the capacity is reached."""
        if self.open_count >= self.config.capacity:
            raise Overloaded(f"{self.open_count} utterances are already being spoken or waiting")
        slack = 0.0 if sequence.utterance.awaited else FOLLOW_UP_SLACK_S
        sequence.deadline_s = now_s + slack
        self.waiting.append(sequence)

    def admit(self) -> Sequence | None:
        """Give a slot to the next who waits, if one is free; tell `admitted` before anything else.

        None as well while what is still to be read fills a turn: nobody gains by a slot then.
        """
        # Drawn sequences still hold tokens and vocoder state: they count, or a device whose
        # rendering falls behind would collect them without bound.
        room = 2 * self.config.slots - len(self.running) - len(self.voicing)
        unread = sum(sequence.position_count - sequence.read_count for sequence in self.running)
        if not self.waiting or not self._free_slots or room <= 0:
            return None
        if unread >= self.config.prefill_positions:
            return None
        # First come, first served, among those with the nearest deadline.
        chosen = min(self.waiting, key=lambda sequence: sequence.deadline_s)
        self.waiting.remove(chosen)
        chosen.phase = Phase.READING
        chosen.slot = self._free_slots.pop()
        self.running.append(chosen)
        return chosen

    def admitted(self, sequence: Sequence, positions: int) -> None:
        """Record how much is to be read before the sequence speaks."""
        sequence.position_count = positions

    def plan(self) -> Plan:
        """The device's next turn: a bounded piece of what is to be read, a token for the rest."""
        prefill: list[Prefill] = []
        left = self.config.prefill_positions
        for sequence in self.running:
            if sequence.phase is Phase.READING and left > 0:
                start, end = sequence.read_count, sequence.position_count
                stop = min(end, start + left)
                prefill.append(Prefill(sequence, start, stop, is_last=stop == end))
                left -= stop - start
        decode = tuple(s for s in self.running if s.phase is Phase.SPEAKING)
        # The device has room for `max_speech_tokens` of each and no more.
        room = min((self.config.max_speech_tokens - len(s.tokens) for s in decode), default=1)
        return Plan(tuple(prefill), decode, min(self.config.steps_per_sync, room))

    def commit(
        self, plan: Plan, drawn: Mapping[Sequence, tuple[int | None, ...]]
    ) -> tuple[Sequence, ...]:
        """Record what a plan gave: tokens, None where the model ended; returns those now drawn.

        A drawn sequence has left its slot. One without any speech is DONE at once.
        """
        for piece in plan.prefill:
            if piece.sequence.phase is Phase.READING:
                piece.sequence.read_count = piece.stop
                if piece.is_last:
                    piece.sequence.phase = Phase.SPEAKING
        ended: list[Sequence] = []
        for sequence, tokens in drawn.items():
            if sequence.phase is not Phase.SPEAKING:
                continue  # cancelled while the step ran
            for token in tokens:
                if not sequence.is_drawn:  # what was drawn beyond the end is nothing
                    self._append(sequence, token)
            if sequence.is_drawn:
                self._release_slot(sequence)
                sequence.phase = Phase.VOICING if sequence.tokens else Phase.DONE
                if sequence.tokens:
                    self.voicing.append(sequence)
                ended.append(sequence)
        return tuple(ended)

    def _append(self, sequence: Sequence, token: int | None) -> None:
        if token is None:
            sequence.finish = Finish.STOPPED
            return
        sequence.tokens.append(token)
        if sequence.is_stuck(self.config.stuck_tokens):
            sequence.finish = Finish.STUCK
        elif len(sequence.tokens) >= sequence.max_tokens:
            sequence.finish = Finish.TOO_LONG

    def ready_to_speak(self) -> tuple[Chunk, ...]:
        """The chunks to render now, the most urgent first, at most `chunks_per_step`.

        First sounds that a listener awaits come before everything else; the others by the
        time at which playback will need them.
        """
        chunks = [chunk for s in (*self.running, *self.voicing) if (chunk := self._next_chunk(s))]
        chunks.sort(key=lambda chunk: _urgency(chunk.sequence))
        return tuple(chunks[: self.config.chunks_per_step])

    def _next_chunk(self, sequence: Sequence) -> Chunk | None:
        count, ahead = len(sequence.tokens), self.config.look_ahead_tokens
        end = self.config.chunk_ends[sequence.chunk_index]
        if sequence.is_drawn:
            # A rest shorter than the look-ahead joins this chunk; it was never renderable alone.
            is_last = count < end + ahead
            return Chunk(sequence, sequence.voiced_count, count if is_last else end, is_last)
        if count >= end + ahead:
            return Chunk(sequence, sequence.voiced_count, end, is_last=False)
        return None

    def rendered(self, chunk: Chunk, *, duration_s: float, now_s: float) -> bool:
        """Record that a chunk's audio was delivered; returns whether its sequence is DONE."""
        sequence = chunk.sequence
        if sequence.phase is Phase.DONE:
            return False  # cancelled while it was rendered
        start_s = now_s if sequence.is_new else max(now_s, sequence.deadline_s)
        sequence.deadline_s = start_s + duration_s
        sequence.voiced_count = chunk.end
        sequence.chunk_index += 1
        if not chunk.is_last:
            return False
        self.voicing.remove(sequence)
        sequence.phase = Phase.DONE
        return True

    def cancel(self, sequence: Sequence) -> bool:
        """Drop a sequence wherever it is; its slot is free on return. False if already DONE."""
        if sequence.phase is Phase.DONE:
            return False
        if sequence.phase is Phase.WAITING:
            self.waiting.remove(sequence)
        elif sequence.slot is not None:
            self._release_slot(sequence)
        else:
            self.voicing.remove(sequence)
        sequence.phase = Phase.DONE
        sequence.finish = Finish.CANCELLED
        return True

    def _release_slot(self, sequence: Sequence) -> None:
        assert sequence.slot is not None, "a running sequence has a slot"
        self.running.remove(sequence)
        self._free_slots.append(sequence.slot)
        sequence.slot = None

    def check(self) -> None:
        """Assert what holds between any two calls."""
        held = [sequence.slot for sequence in self.running]
        assert sorted([*self._free_slots, *(s for s in held if s is not None)]) == list(
            range(self.config.slots)
        ), "every slot is free or held by one running sequence"
        assert all(s.phase is Phase.WAITING and s.slot is None for s in self.waiting)
        assert all(s.phase in (Phase.READING, Phase.SPEAKING) for s in self.running)
        assert all(s.phase is Phase.VOICING and s.slot is None for s in self.voicing)
        assert self.open_count <= self.config.capacity


def _urgency(sequence: Sequence) -> tuple[bool, float]:
    awaited_first = sequence.is_new and sequence.utterance.awaited
    return (not awaited_first, sequence.deadline_s)
