"""Whatever callers, listeners and the device do, in whatever order, the scheduler keeps its rules."""

import math
from typing import TYPE_CHECKING, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatterbox.engine.capacity import BatchCost, Costs
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.listener import Listener
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Chunk, Finish, Phase, Sequence, Utterance
from chatterbox.engine.urgency import Rank, rank
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)
CONFIG = EngineConfig(
    slots=3, prefill_positions=40, render_batch=3, render_tokens=80, max_hold_s=0.5, lead_s=4.0
)
COSTS = Costs(
    step=BatchCost(0.020, 0.2),
    chunk=BatchCost(0.008, 0.9),
    batch=BatchCost(1.0, 0.4),
    position_s=0.0002,
    render_per_s=0.2,
)


class Streams(RuleBasedStateMachine):
    """Utterances come, are served a step at a time, and are cancelled in every phase."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(CONFIG)
        self.listeners: list[Listener] = []
        self.known: list[Sequence] = []
        self.now_s = 0.0

    def submit(self, listener: Listener | None, tokens: int) -> None:
        utterance = Utterance(
            text="text",
            family="tone",
            voice="ada",
            language="en",
            sampling=Sampling(seed=0),
            conditioning=NO_VOICE,
            awaited=listener is not None,
        )
        sequence = Sequence(
            utterance=utterance,
            max_tokens=max(1, tokens),
            expected_tokens=tokens,
            listener=listener,
        )
        self.known.append(sequence)
        self.scheduler.submit(sequence, now_s=self.now_s)

    @precondition(lambda self: self.scheduler.open_count < 16)
    @rule(lengths=st.lists(st.integers(1, 150), min_size=1, max_size=6))
    def streams_begin(self, lengths: list[int]) -> None:
        for tokens in lengths:
            self.listeners.append(Listener())
            self.submit(self.listeners[-1], tokens)

    @precondition(lambda self: self.listeners)
    @rule(tokens=st.integers(1, 150), which=st.integers(0, 100))
    def a_stream_goes_on(self, tokens: int, which: int) -> None:
        self.submit(self.listeners[which % len(self.listeners)], tokens)

    @precondition(lambda self: self.scheduler.open_count < 16)
    @rule(tokens=st.integers(1, 150))
    def something_is_to_be_spoken_for_nobody(self, tokens: int) -> None:
        self.submit(None, tokens)

    @precondition(lambda self: self.known)
    @rule(which=st.integers(0, 100))
    def somebody_leaves(self, which: int) -> None:
        sequence = self.known[which % len(self.known)]
        was_open, free = sequence.phase is not Phase.DONE, self.scheduler.free_slots
        had_slot = sequence.slot is not None
        assert self.scheduler.cancel(sequence, now_s=self.now_s) is was_open
        assert sequence.phase is Phase.DONE
        assert self.scheduler.free_slots == free + had_slot, "the slot is free at once"
        assert all(sequence is not s for s in self.scheduler.audible(now_s=self.now_s))

    @rule(seconds=st.floats(0.0, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(costs=st.sampled_from([COSTS, Costs()]))
    def costs_are_measured(self, costs: Costs) -> None:
        self.scheduler.costs = costs

    @rule(
        positions=st.integers(1, 90),
        token=st.sampled_from([None, 1, "count", "count", "count"]),
        steps=st.integers(1, 30),
        renders=st.sampled_from([True, True, False]),
    )
    def the_device_works(
        self, *, positions: int, token: int | str | None, steps: int, renders: bool
    ) -> None:
        for _ in range(steps):
            self.step(positions, token, renders=renders)

    def step(self, positions: int, token: int | str | None, *, renders: bool = True) -> bool:
        """A step of the engine's loop; whether it did anything."""
        scheduler = self.scheduler
        while (admitted := scheduler.admit(now_s=self.now_s)) is not None:
            scheduler.admitted(admitted, positions, now_s=self.now_s)
        plan = scheduler.plan(now_s=self.now_s)
        assert sum(p.stop - p.start for p in plan.prefill) <= CONFIG.prefill_positions
        assert all(p.start == p.sequence.read_count < p.stop for p in plan.prefill)
        assert all(s.phase is Phase.SPEAKING for s in plan.decode)

        def drawn(s: Sequence) -> tuple[int | None, ...]:
            return (len(s.tokens) if token == "count" else cast("int | None", token),)

        read = {p.sequence: drawn(p.sequence) for p in plan.prefill if p.is_last}
        scheduler.commit(plan, read | {s: drawn(s) for s in plan.decode}, now_s=self.now_s)
        scheduler.check()
        if not renders:
            return True
        chunks = scheduler.ready_to_speak(now_s=self.now_s, idle=plan.is_empty)
        self.check_order(chunks)
        for chunk in chunks:
            scheduler.rendered(chunk, now_s=self.now_s)
        audible = scheduler.audible(now_s=self.now_s)
        for sequence in audible:
            seconds = len(sequence.tokens) / TOKEN_RATE_HZ
            scheduler.delivered(sequence, duration_s=seconds, now_s=self.now_s)
        self.now_s += 0.001
        return bool(chunks or audible) or not plan.is_empty

    def check_order(self, chunks: tuple[Chunk, ...]) -> None:
        """Bounds of a batch; first sounds first; no earlier deadline passed over in a batch."""
        assert len({chunk.sequence for chunk in chunks}) == len(chunks) <= CONFIG.render_batch
        assert len(chunks) <= 1 or sum(c.token_count for c in chunks) <= CONFIG.render_tokens
        if not chunks:
            return
        ranks = [rank(c.sequence, now_s=self.now_s, lead_s=CONFIG.lead_s) for c in chunks]
        if Rank.FIRST in ranks:
            assert set(ranks) == {Rank.FIRST}, "a first sound waits for nobody else's length"
        deadlines = [c.sequence.deadline_s for c in chunks]
        assert min(deadlines) == deadlines[0] or ranks[0] is Rank.AHEAD

    @invariant()
    def the_books_are_right(self) -> None:
        self.scheduler.check()
        # Slots twice over: in them, or drawn and not yet rendered.
        assert len(self.scheduler.running) + len(self.scheduler.voicing) <= 2 * CONFIG.slots
        assert self.scheduler.open_count == sum(s.phase is not Phase.DONE for s in self.known)

    def teardown(self) -> None:
        """Nobody starves: when no more come, all are served to their end, without idle steps."""
        for _ in range(500 + 3 * sum(s.max_tokens for s in self.known)):
            if self.scheduler.is_idle:
                break
            has_held = bool(self.scheduler.voicing)
            assert self.step(7, "count") or has_held, "the device idles before waiting work"
        else:
            raise AssertionError("somebody starves")
        for s in self.known:
            assert s.phase is Phase.DONE
            assert s.slot is None
            assert s.finish is Finish.CANCELLED or s.voiced_count == len(s.tokens) <= s.max_tokens
        assert not any(listener.is_served for listener in self.listeners)
        assert all(math.isfinite(listener.clock.underrun_s) for listener in self.listeners)


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
