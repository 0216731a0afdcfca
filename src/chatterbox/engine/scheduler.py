"""Scheduler: who is let in, who decodes, whose audio is rendered next. Plain Python.

    submit → WAITING → admit → READING → plan … → SPEAKING → commit … → VOICING → delivered … → DONE

It holds no tensor, reads no clock and waits for nothing; time comes in as an argument.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping

from chatterbox.engine.admission import Admission, Stream, stream_limit, streams_of
from chatterbox.engine.capacity import Costs
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.drawing import Drawing
from chatterbox.engine.onset import can_last
from chatterbox.engine.plan import Plan
from chatterbox.engine.rendering import Rendering
from chatterbox.engine.sequence import Bookmark, Chunk, Finish, Phase, Sequence
from chatterbox.engine.slack import Slack


class Scheduler:
    """Admits, plans and keeps account of every sequence until it is done or cancelled.

    `costs` is kept up to date by whoever measures them; without them nobody waits for capacity.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.costs = Costs()
        self.waiting: list[Sequence] = []  # in order of submission
        self.running: list[Sequence] = []  # in slots, in order of admission
        self.voicing: list[Sequence] = []  # drawn to the end, audio outstanding
        self._unheard: dict[Sequence, None] = {}  # rendered in part, and that not delivered
        self._free_slots: list[int] = list(range(config.slots))[::-1]

    @property
    def open_count(self) -> int:
        return len(self.waiting) + len(self.running) + len(self.voicing)

    @property
    def is_idle(self) -> bool:
        return self.open_count == 0

    @property
    def free_slots(self) -> int:
        return len(self._free_slots)

    @property
    def streams(self) -> set[Stream]:
        """Those the device works for."""
        return streams_of([*self.waiting, *self.running, *self.voicing])

    @property
    def stream_limit(self) -> int | None:
        """The most of them that it carries in real time, as measured; None: no limit."""
        return stream_limit(self.config, self.costs)

    def slack_s(self, *, now_s: float) -> float:
        """How long the device could do something else and no listener would miss it."""
        slack = Slack(self.config, self.costs, now_s, max(1, len(self.running)))
        known = (*self.waiting, *self.running, *self.voicing)
        awaited = [slack.of(each) for each in known if each.listener is not None]
        return min(awaited, default=math.inf)

    def submit(self, sequence: Sequence, *, now_s: float) -> None:
        """Queue a new sequence."""
        sequence.submitted_s = sequence.served_s = now_s
        if sequence.utterance.begun is not None:
            self._go_on(sequence, sequence.utterance.begun)
        if sequence.listener is not None:
            sequence.listener.joins(sequence)
        self.waiting.append(sequence)

    def _go_on(self, sequence: Sequence, begun: Bookmark) -> None:
        """Bring a sequence to where another engine was with it."""
        for token in begun.tokens:
            self._append(sequence, token)
        if begun.finish is not None:
            sequence.finish = begun.finish
        sequence.voiced_count = begun.voiced_count
        sequence.chunk_index = bisect_right(self.config.chunk_ends, begun.voiced_count)
        sequence.is_heard = begun.voiced_count > 0

    def admit(self, *, now_s: float) -> Sequence | None:
        """Give a slot to the next who waits, if there is room; tell `admitted` what it reads.

        None as well while what is still to be read fills a turn: nobody gains by a slot then.
        """
        # Drawn sequences still hold tokens and vocoder state: they count, or a device whose
        # rendering falls behind would collect them without bound.
        room = 2 * self.config.slots - len(self.running) - len(self.voicing)
        if not self.waiting or not self._free_slots or room <= 0:
            return None
        admission = Admission(
            config=self.config,
            costs=self.costs,
            now_s=now_s,
            waiting=self.waiting,
            running=self.running,
            voicing=self.voicing,
            free_slots=len(self._free_slots),
        )
        chosen = admission.choose()
        if chosen is None:
            return None
        self.waiting.remove(chosen)
        chosen.phase = Phase.READING
        chosen.slot = self._free_slots.pop()
        self.running.append(chosen)
        return chosen

    def admitted(self, sequence: Sequence, positions: int, *, now_s: float) -> bool:
        """Record how much is to be read before the sequence speaks; returns whether it is DONE.

        One that was drawn elsewhere reads nothing, and leaves its slot at once.
        """
        sequence.position_count = positions
        if sequence.is_voiced:
            self._leave(sequence, now_s)
            return True
        if sequence.is_drawn:
            self._release_slot(sequence)
            self.voicing.append(sequence)
            sequence.phase = Phase.VOICING
        return False

    def plan(self, *, now_s: float) -> Plan:
        """The device's next turn; see `Drawing`."""
        slots_wanted = bool(self.waiting) and not self._free_slots
        drawing = Drawing(self.config, self.costs, now_s)
        return drawing.choose(self.running, self.voicing, slots_wanted=slots_wanted)

    def commit(
        self, plan: Plan, drawn: Mapping[Sequence, tuple[int | None, ...]], *, now_s: float
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
                ended.append(sequence)
                if sequence.tokens:
                    self._release_slot(sequence)
                    self.voicing.append(sequence)
                    sequence.phase = Phase.VOICING
                else:
                    self._leave(sequence, now_s)
        return tuple(ended)

    def _append(self, sequence: Sequence, token: int | None) -> None:
        config = self.config
        if token is None:
            sequence.finish = Finish.STOPPED
            return
        sequence.tokens.append(token)
        if not sequence.repeats(config.hold_tokens + 1):
            sequence.settled_count = len(sequence.tokens)
        elif sequence.repeats(config.stuck_tokens):
            # Nothing beyond what is kept was settled, so none of it can have been rendered.
            del sequence.tokens[config.hold_tokens - config.stuck_tokens :]
            sequence.finish = Finish.STUCK
        if sequence.finish is None and len(sequence.tokens) >= sequence.max_tokens:
            sequence.finish = Finish.TOO_LONG

    def ready_to_speak(self, *, now_s: float, idle: bool = False) -> tuple[Chunk, ...]:
        """The chunks to render now, together, the most urgent first; see `Rendering`.

        An `idle` device has nothing to draw, so that nothing is gained by waiting.
        """
        rendering = Rendering(self.config, self.costs, now_s, idle)
        return rendering.choose([*self.running, *self.voicing])

    def rendered(self, chunk: Chunk, *, now_s: float) -> None:
        """Record that a chunk's audio is there."""
        sequence = chunk.sequence
        if sequence.phase is Phase.DONE:
            return  # cancelled while it was rendered
        sequence.voiced_count = chunk.end
        sequence.chunk_index += 1
        sequence.served_s = now_s
        self._unheard[sequence] = None
        if self._should_hold(sequence, now_s):
            assert sequence.listener is not None, "nobody else is kept waiting"
            sequence.listener.waits_until(now_s + self.config.max_hold_s)

    def audible(self, *, now_s: float) -> tuple[Sequence, ...]:
        """Those whose audio is to be delivered now: all that there is of it."""
        return tuple(s for s in self._unheard if not self._should_hold(s, now_s))

    def _should_hold(self, sequence: Sequence, now_s: float) -> bool:
        """Whether the listener had better begin later, and then need not stop again."""
        listener = sequence.listener
        if listener is None or sequence.is_heard or sequence.is_voiced:
            return False
        if not listener.is_first(sequence) or not listener.is_silent(now_s=now_s):
            return False
        if listener.begins_by_s is not None and now_s >= listener.begins_by_s:
            return False
        config, streams = self.config, max(1, len(self.streams))
        rate = listener.delivery.speaking_rate
        if rate * self.costs.utilisation(1, config.slots, config.render_batch) > 1:
            return False  # slower than real time: there will be gaps, however late it begins
        _, render_s = self.costs.token_s(streams, config.slots, config.render_batch)
        draw_s = self.costs.step.seconds(max(1, len(self.running)))
        lead_s = sequence.voiced_count / TOKEN_RATE_HZ - rate * listener.delivery.held_back_s
        # Heard faster, everything takes that much longer in comparison.
        return not can_last(
            sequence, config, lead_s=lead_s, draw_s=rate * draw_s, render_s=rate * render_s
        )

    def delivered(self, sequence: Sequence, *, duration_s: float, now_s: float) -> bool:
        """Record that what was rendered has gone out; returns whether the sequence is DONE."""
        del self._unheard[sequence]
        sequence.is_heard = True
        if sequence.listener is not None:
            sequence.listener.hears(sequence, duration_s, now_s=now_s)
        if sequence.is_voiced:
            self._leave(sequence, now_s)
        return sequence.is_voiced

    def cancel(self, sequence: Sequence, *, now_s: float) -> bool:
        """Drop a sequence wherever it is; its slot is free on return. False if already DONE."""
        if sequence.phase is Phase.DONE:
            return False
        sequence.finish = Finish.CANCELLED
        self._leave(sequence, now_s)
        return True

    def _leave(self, sequence: Sequence, now_s: float) -> None:
        """Strike a sequence off the books, wherever it is."""
        if sequence.phase is Phase.WAITING:
            self.waiting.remove(sequence)
        elif sequence.phase is Phase.VOICING:
            self.voicing.remove(sequence)
        else:
            self._release_slot(sequence)
        sequence.phase = Phase.DONE
        self._unheard.pop(sequence, None)
        if sequence.listener is not None:
            sequence.listener.leaves(sequence, now_s=now_s)

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
