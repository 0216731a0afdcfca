"""The scheduler, by example and by property."""

import itertools
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.engine.capacity import BatchCost, Costs
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.listener import Listener
from chatterbox.engine.plan import Plan, Prefill
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Chunk, Finish, Phase, Sequence, Utterance
from chatterbox.errors import ConfigError
from chatterbox.speech import Delivery, Sampling

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)


def sequence(
    *, max_tokens: int = 100, awaited: bool = True, listener: Listener | None = None
) -> Sequence:
    utterance = Utterance(
        text="text",
        family="tone",
        voice="ada",
        language="en",
        sampling=Sampling(seed=0),
        conditioning=NO_VOICE,
        awaited=awaited,
    )
    return Sequence(
        utterance=utterance,
        max_tokens=max_tokens,
        listener=(listener or Listener()) if awaited else None,
    )


def draw(
    scheduler: Scheduler, token: Callable[[Sequence], int | None], *, now_s: float = 0.0
) -> tuple[Sequence, ...]:
    admit(scheduler, now_s=now_s)
    plan = scheduler.plan(now_s=now_s)
    drawn = {piece.sequence: (token(piece.sequence),) for piece in plan.prefill if piece.is_last}
    drawn |= {s: (token(s),) for s in plan.decode}
    return scheduler.commit(plan, drawn, now_s=now_s)


def speak(scheduler: Scheduler, *, now_s: float = 0.0, idle: bool = True) -> tuple[Chunk, ...]:
    """Render and deliver what is due; nothing waits for a larger batch when `idle`."""
    chunks = scheduler.ready_to_speak(now_s=now_s, idle=idle)
    for chunk in chunks:
        scheduler.rendered(chunk, now_s=now_s)
        if chunk.sequence in scheduler.audible(now_s=now_s):
            scheduler.delivered(
                chunk.sequence, duration_s=chunk.token_count / TOKEN_RATE_HZ, now_s=now_s
            )
    return chunks


def admit(scheduler: Scheduler, *, positions: int = 10, now_s: float = 0.0) -> tuple[Sequence, ...]:
    """Everyone who gets a slot now."""
    admitted = []
    while (s := scheduler.admit(now_s=now_s)) is not None:
        scheduler.admitted(s, positions, now_s=0.0)
        admitted.append(s)
    return tuple(admitted)


def counting(s: Sequence) -> int:
    return len(s.tokens)


def test_a_drawn_sequence_frees_its_slot_for_the_next_one() -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=2))
    first, second = sequence(max_tokens=1), sequence()
    scheduler.submit(first, now_s=0.0)
    scheduler.submit(second, now_s=0.0)

    assert admit(scheduler) == (first,)
    plan = scheduler.plan(now_s=0.0)
    assert plan == Plan((Prefill(first, 0, 10, is_last=True),), ())
    assert scheduler.commit(plan, {first: (7,)}, now_s=0.0) == (first,)
    assert first.phase is Phase.VOICING
    assert admit(scheduler) == (second,)


def test_running_sequences_decode_while_newcomers_prefill() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    first, second = sequence(), sequence()
    scheduler.submit(first, now_s=0.0)
    draw(scheduler, counting)
    scheduler.submit(second, now_s=0.0)
    admit(scheduler)

    plan = scheduler.plan(now_s=0.0)

    assert plan.decode == (first,)
    assert plan.prefill == (Prefill(second, 0, 10, is_last=True),)


def test_prefixes_are_read_in_bounded_pieces_while_others_speak() -> None:
    scheduler = Scheduler(EngineConfig(slots=5, prefill_positions=100))
    speaking, long, after = sequence(), sequence(), sequence()
    scheduler.submit(speaking, now_s=0.0)
    draw(scheduler, counting)
    scheduler.submit(long, now_s=0.0)
    scheduler.submit(after, now_s=0.0)
    pieces = []
    for _ in range(4):
        admit(scheduler, positions=150)
        plan = scheduler.plan(now_s=0.0)
        assert plan.decode[0] is speaking
        pieces.append([(p.sequence, p.start, p.stop, p.is_last) for p in plan.prefill])
        first_tokens = {p.sequence: (1,) for p in plan.prefill if p.is_last}
        scheduler.commit(plan, first_tokens | dict.fromkeys(plan.decode, (1,)), now_s=0.0)
    assert pieces == [
        [(long, 0, 100, False)],
        [(long, 100, 150, True), (after, 0, 50, False)],
        [(after, 50, 150, True)],
        [],
    ]
    assert [len(s.tokens) for s in (speaking, long, after)] == [5, 3, 2]


def test_tokens_beyond_the_end_or_the_limit_are_dropped() -> None:
    scheduler = Scheduler(EngineConfig(slots=2, steps_per_sync=4))
    ending, limited = sequence(), sequence(max_tokens=3)
    scheduler.submit(ending, now_s=0.0)
    scheduler.submit(limited, now_s=0.0)
    draw(scheduler, counting)
    plan = scheduler.plan(now_s=0.0)
    assert plan.steps == 4
    scheduler.commit(plan, {ending: (1, 2, None), limited: (1, 2, 3, 4)}, now_s=0.0)
    assert (ending.tokens, ending.finish) == ([0, 1, 2], Finish.STOPPED)
    assert (limited.tokens, limited.finish) == ([0, 1, 2], Finish.TOO_LONG)


@pytest.mark.parametrize("steps", [0, 1, 30])
def test_cancelling_frees_the_slot_at_once(steps: int) -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=1))
    leaving, staying = sequence(), sequence()
    scheduler.submit(leaving, now_s=0.0)
    for _ in range(steps):
        draw(scheduler, counting)
    scheduler.submit(staying, now_s=0.0)

    assert scheduler.cancel(leaving, now_s=0.0)
    assert not scheduler.cancel(leaving, now_s=0.0)
    assert admit(scheduler) == (staying,)


def test_a_sequence_cancelled_while_it_is_read_frees_its_slot() -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=1, prefill_positions=4))
    leaving, staying = sequence(), sequence()
    scheduler.submit(leaving, now_s=0.0)
    draw(scheduler, counting)
    assert leaving.phase is Phase.READING
    scheduler.submit(staying, now_s=0.0)
    scheduler.cancel(leaving, now_s=0.0)
    assert admit(scheduler) == (staying,)


def test_a_token_drawn_for_a_sequence_cancelled_meanwhile_is_ignored() -> None:
    scheduler = Scheduler(EngineConfig(slots=2))
    leaving = sequence()
    scheduler.submit(leaving, now_s=0.0)
    admit(scheduler)
    plan = scheduler.plan(now_s=0.0)
    scheduler.cancel(leaving, now_s=0.0)
    assert scheduler.commit(plan, {leaving: (5,)}, now_s=0.0) == ()
    assert scheduler.is_idle


def test_the_first_chunk_is_ready_after_the_first_dozen_tokens() -> None:
    scheduler = Scheduler(EngineConfig(first_chunk_tokens=12, look_ahead_tokens=3))
    speaking = sequence()
    scheduler.submit(speaking, now_s=0.0)
    for _ in range(11):
        draw(scheduler, counting)
        assert scheduler.ready_to_speak(now_s=0.0, idle=True) == ()
    draw(scheduler, counting)
    assert scheduler.ready_to_speak(now_s=0.0, idle=True) == (Chunk(speaking, 0, 9, is_last=False),)


def test_an_utterance_shorter_than_a_chunk_is_one_chunk() -> None:
    scheduler = Scheduler(EngineConfig())
    brief = sequence(max_tokens=3)
    scheduler.submit(brief, now_s=0.0)
    for _ in range(3):
        draw(scheduler, counting)
    assert scheduler.ready_to_speak(now_s=0.0, idle=True) == (Chunk(brief, 0, 3, is_last=True),)


def test_an_utterance_without_speech_is_done_without_audio() -> None:
    scheduler = Scheduler(EngineConfig())
    mute = sequence()
    scheduler.submit(mute, now_s=0.0)
    assert draw(scheduler, lambda _: None) == (mute,)
    assert mute.phase is Phase.DONE
    assert scheduler.ready_to_speak(now_s=0.0, idle=True) == ()
    assert scheduler.is_idle


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": 0},
        {"prefill_positions": 0},
        {"steps_per_sync": 0},
        {"max_waiting": -1},
        {"first_chunk_tokens": 3, "look_ahead_tokens": 3},
        {"chunk_growth": 0.5},
        {"max_chunk_tokens": 5},
        {"hold_tokens": 8},
        {"stuck_tokens": 16},
        {"render_batch": 0},
        {"low_lead_s": 9.0},
        {"max_utilisation": -1.0},
    ],
)
def test_bounds_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        EngineConfig(**wrong)  # type: ignore[arg-type]


def test_only_where_company_helps_chunks_are_rendered_together() -> None:
    assert EngineConfig().suited_to("cpu").render_batch == 1
    assert EngineConfig().suited_to("cuda:1").render_batch > 1
    assert EngineConfig(render_batch=7).suited_to("cuda").render_batch == 7
    assert EngineConfig().suited_to("cpu").steps_per_sync == 1
    assert EngineConfig().suited_to("cuda").steps_per_sync > 1
    assert EngineConfig(steps_per_sync=2).suited_to("cuda").steps_per_sync == 2


def test_while_rendering_falls_behind_nobody_new_is_let_in() -> None:
    scheduler = Scheduler(EngineConfig(slots=2))
    for _ in range(6):
        scheduler.submit(sequence(max_tokens=1), now_s=0.0)
    for _ in range(6):
        draw(scheduler, counting)
    assert len(scheduler.voicing) == 4
    speak(scheduler)
    assert len(admit(scheduler)) == 1


COSTS = Costs(
    step=BatchCost(0.010, 0.1),
    chunk=BatchCost(0.004, 1.0),  # 4 ms a token
    batch=BatchCost(1.0, 0.2),
    render_per_s=0.1,
)


def heard(scheduler: Scheduler, listener: Listener, *, now_s: float, tokens: int = 12) -> Sequence:
    """An utterance of which the first chunk has been heard, and so many tokens drawn."""
    s = sequence(listener=listener)
    scheduler.submit(s, now_s=now_s)
    while len(s.tokens) < 12:
        draw(scheduler, counting, now_s=now_s)
    while s.is_new:
        speak(scheduler, now_s=now_s)
    while len(s.tokens) < tokens:
        draw(scheduler, counting, now_s=now_s)
    return s


def test_first_sounds_come_before_what_goes_on() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    going_on = heard(scheduler, Listener(), now_s=0.0, tokens=40)
    newcomer = sequence()
    scheduler.submit(newcomer, now_s=0.1)
    while len(newcomer.tokens) < 12:
        draw(scheduler, counting, now_s=0.1)
    assert [c.sequence for c in speak(scheduler, now_s=0.1)] == [newcomer]
    assert [c.sequence for c in speak(scheduler, now_s=0.1)] == [going_on]


def test_a_first_sound_waits_when_someone_else_would_hear_a_gap_for_it() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    going_on = heard(scheduler, Listener(), now_s=0.0, tokens=40)
    newcomer = sequence()
    scheduler.submit(newcomer, now_s=0.1)
    while len(newcomer.tokens) < 12:
        draw(scheduler, counting, now_s=0.1)
    scheduler.costs = COSTS  # 14 tokens take 56 ms, and nine more take 36 ms
    assert [c.sequence for c in speak(scheduler, now_s=0.36 - 0.08)] == [going_on]
    assert [c.sequence for c in speak(scheduler, now_s=0.36 - 0.01)] == [newcomer]


def test_whose_audio_ends_first_is_served_first() -> None:
    scheduler = Scheduler(EngineConfig(slots=3, render_batch=1))
    later = heard(scheduler, Listener(), now_s=1.0, tokens=30)
    sooner = heard(scheduler, Listener(), now_s=0.5, tokens=30)
    assert [c.sequence for c in speak(scheduler, now_s=1.0)] == [sooner]
    assert [c.sequence for c in speak(scheduler, now_s=1.0)] == [later]


def test_the_next_utterance_is_due_when_those_before_it_have_been_heard() -> None:
    scheduler = Scheduler(EngineConfig(slots=3, render_batch=1))
    listener = Listener()
    first = heard(scheduler, listener, now_s=0.0)
    first.max_tokens = 50
    second, other = sequence(max_tokens=50, listener=listener), sequence(max_tokens=50)
    scheduler.submit(second, now_s=0.0)
    scheduler.submit(other, now_s=0.3)
    for _ in range(60):
        draw(scheduler, counting, now_s=0.3)
    order = []
    while chunks := speak(scheduler, now_s=0.3):
        order += [chunk.sequence for chunk in chunks]
    # Theirs end at 0.36, 0.92, 1.72 and at 0.66, 1.22, 2.02; that of `second` begins at 2.0.
    assert order[:8] == [other, first, other, first, other, first, second, other]
    assert listener.clock.runs_dry_s == pytest.approx(4.0)


def test_what_is_held_back_on_the_way_is_missed_the_sooner() -> None:
    scheduler = Scheduler(EngineConfig(slots=3, render_batch=1))
    sooner = heard(scheduler, Listener(), now_s=0.0, tokens=30)
    marked = Listener(delivery=Delivery(held_back_s=0.22))
    later = heard(scheduler, marked, now_s=0.1, tokens=30)
    assert later.deadline_s == pytest.approx(0.46 - 0.22)
    assert [c.sequence for c in speak(scheduler, now_s=0.2)] == [later]
    assert [c.sequence for c in speak(scheduler, now_s=0.2)] == [sooner]


def test_who_hears_twice_as_fast_runs_dry_twice_as_soon() -> None:
    scheduler = Scheduler(EngineConfig(slots=3, render_batch=1))
    quick = Listener(delivery=Delivery(speaking_rate=2.0))
    first = heard(scheduler, quick, now_s=0.0, tokens=30)
    following = sequence(listener=quick)
    following.expected_tokens = 50
    scheduler.submit(following, now_s=0.0)
    assert first.deadline_s == pytest.approx(0.18)
    # The 30 tokens that are drawn, less those delivered, are over in half of the time, too.
    assert following.deadline_s == pytest.approx(0.18 + 21 / 25 / 2)


def test_what_was_rendered_before_its_turn_is_heard_when_the_turn_comes() -> None:
    scheduler = Scheduler(EngineConfig(slots=2))
    listener = Listener()
    first, second = sequence(listener=listener), sequence(max_tokens=12, listener=listener)
    scheduler.submit(first, now_s=0.0)
    scheduler.submit(second, now_s=0.0)
    listener.hears(first, 1.0, now_s=0.0)
    listener.hears(second, 2.0, now_s=0.5)
    assert listener.clock.runs_dry_s == 1.0
    assert listener.deadline_s(second) == 3.0
    scheduler.cancel(first, now_s=0.8)
    assert listener.clock.runs_dry_s == 3.0


def test_who_is_far_ahead_pauses_while_somebody_is_short_and_works_on_when_nobody_is() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    ahead = heard(scheduler, Listener(), now_s=0.0)
    assert ahead.listener is not None
    ahead.listener.hears(ahead, 20.0, now_s=0.0)
    assert scheduler.plan(now_s=0.0).decode == (ahead,)
    newcomer = sequence()
    scheduler.submit(newcomer, now_s=0.0)
    draw(scheduler, counting, now_s=0.0)
    assert scheduler.plan(now_s=0.0).decode == (newcomer,)
    while newcomer.is_new:
        draw(scheduler, counting, now_s=0.0)
        speak(scheduler, now_s=0.0)
    assert set(scheduler.plan(now_s=0.0).decode) == {ahead, newcomer}, "0.36 s are enough for now"
    assert scheduler.plan(now_s=0.2).decode == (newcomer,)


def test_what_nobody_listens_to_leaves_slots_to_listeners() -> None:
    scheduler = Scheduler(EngineConfig(slots=4))
    offline = [sequence(awaited=False) for _ in range(4)]
    for s in offline:
        scheduler.submit(s, now_s=0.0)
    draw(scheduler, counting)
    assert len(scheduler.running) == 3
    newcomer = sequence()
    scheduler.submit(newcomer, now_s=0.0)
    assert admit(scheduler) == (newcomer,)


def test_a_newcomer_waits_for_capacity_and_the_first_stream_does_not() -> None:
    scheduler = Scheduler(EngineConfig(slots=4))
    scheduler.costs = Costs(step=BatchCost(0.1, 1.0), render_per_s=1.0)  # slower than real time
    listener, newcomer = Listener(), sequence()
    only = heard(scheduler, listener, now_s=0.0)
    scheduler.submit(newcomer, now_s=0.0)
    next_of_the_only = sequence(listener=listener)
    scheduler.submit(next_of_the_only, now_s=0.0)
    assert admit(scheduler) == (next_of_the_only,)
    assert scheduler.waiting == [newcomer]
    scheduler.cancel(only, now_s=0.0)
    assert admit(scheduler) == ()
    scheduler.cancel(next_of_the_only, now_s=0.0)
    assert admit(scheduler) == (newcomer,)


def test_a_conversation_that_paused_comes_before_newcomers() -> None:
    scheduler = Scheduler(EngineConfig(slots=1))
    listener = Listener()
    said = heard(scheduler, listener, now_s=0.0)
    newcomer, answer = sequence(), sequence(listener=listener)
    scheduler.submit(newcomer, now_s=50.0)
    scheduler.submit(answer, now_s=60.0)
    scheduler.cancel(said, now_s=60.0)
    assert admit(scheduler, now_s=60.0) == (answer,)


def test_chunks_of_like_length_are_rendered_together() -> None:
    scheduler = Scheduler(EngineConfig(slots=6, render_batch=4, render_tokens=60))
    scheduler.costs = COSTS
    crowd = [sequence() for _ in range(6)]
    for s in crowd:
        scheduler.submit(s, now_s=0.0)
    while any(len(s.tokens) < 12 for s in crowd):
        draw(scheduler, counting)
    assert [len(speak(scheduler)) for _ in range(2)] == [4, 2]
    while any(len(s.tokens) < 30 for s in crowd):
        draw(scheduler, counting)
    batch = speak(scheduler)
    assert {(c.start, c.end) for c in batch} == {(9, 23)}
    assert len(batch) == 4, "and 60 tokens at most"


def test_a_first_sound_is_not_kept_for_company() -> None:
    scheduler = Scheduler(EngineConfig(slots=6))
    scheduler.costs = replace(COSTS, batch=BatchCost(1.0, 0.9))  # together is hardly cheaper
    crowd = [sequence() for _ in range(3)]
    for s in crowd:
        scheduler.submit(s, now_s=0.0)
    while any(len(s.tokens) < 12 for s in crowd):
        draw(scheduler, counting)
    assert len(speak(scheduler)) == 1


def test_first_sounds_are_kept_back_until_they_last_or_for_a_while() -> None:
    config = EngineConfig(slots=4, max_hold_s=1.5)
    scheduler = Scheduler(config)
    speaking = sequence()
    scheduler.submit(speaking, now_s=0.0)
    scheduler.costs = Costs(step=BatchCost(0.015), chunk=BatchCost(0.01), render_per_s=0.25)
    while len(speaking.tokens) < 12:
        draw(scheduler, counting)
    for chunk in scheduler.ready_to_speak(now_s=0.3):
        scheduler.rendered(chunk, now_s=0.3)
    assert scheduler.audible(now_s=0.3) == (), "14 tokens more take longer than nine sound"
    assert scheduler.audible(now_s=1.7) == (), "but then for 1.5 s"
    assert scheduler.audible(now_s=1.8) == (speaking,)
    while len(speaking.tokens) < 40:
        draw(scheduler, counting, now_s=0.8)
    assert scheduler.audible(now_s=0.8) == (speaking,), "what is drawn needs only be rendered"


def test_a_device_that_cannot_keep_up_anyway_keeps_nobody_waiting_for_the_first_sound() -> None:
    scheduler = Scheduler(EngineConfig(slots=4))
    speaking = sequence()
    scheduler.submit(speaking, now_s=0.0)
    scheduler.costs = Costs(step=BatchCost(0.05), chunk=BatchCost(0.01), render_per_s=0.25)
    while len(speaking.tokens) < 12:
        draw(scheduler, counting)
    for chunk in scheduler.ready_to_speak(now_s=0.3):
        scheduler.rendered(chunk, now_s=0.3)
    assert scheduler.audible(now_s=0.3) == (speaking,)


def test_a_repetition_is_cut_and_not_heard_for_longer_than_a_sound_is_held() -> None:
    scheduler = Scheduler(EngineConfig(stuck_tokens=50, hold_tokens=16))
    looping = sequence(max_tokens=500)
    scheduler.submit(looping, now_s=0.0)
    steps = 0
    while looping.phase is not Phase.VOICING:
        draw(scheduler, lambda s: len(s.tokens) if len(s.tokens) < 30 else 30 + len(s.tokens) % 3)
        steps += 1
    assert looping.finish is Finish.STUCK
    assert steps == 80
    assert len(looping.tokens) == 30 + 16


def chunks_of(
    tokens: Several[int], config: EngineConfig, pauses: Several[int]
) -> list[tuple[int, int, tuple[int, ...]]]:
    """How these tokens are cut, with what follows each cut, when rendering lags by `pauses`."""
    scheduler = Scheduler(config)
    s = sequence(max_tokens=len(tokens))
    scheduler.submit(s, now_s=0.0)
    cuts: list[tuple[int, int, tuple[int, ...]]] = []
    step = 0
    while s.phase is not Phase.DONE:
        draw(scheduler, lambda s: tokens[len(s.tokens)])
        step += 1
        if pauses and step % (pauses[step % len(pauses)] + 1) and not s.is_drawn:
            continue
        for chunk in scheduler.ready_to_speak(now_s=0.0):
            ahead = chunk.end + config.look_ahead_tokens
            cuts.append((chunk.start, chunk.end, tuple(s.tokens[chunk.end : ahead])))
            scheduler.rendered(chunk, now_s=0.0)
            scheduler.delivered(s, duration_s=1.0, now_s=0.0)
    return cuts


RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.integers(1, 60)), min_size=1, max_size=8
)  # (period, length): 0 is speech, the others repeat themselves


def spoken(runs: list[tuple[int, int]]) -> list[int]:
    """Tokens with runs that repeat themselves."""
    tokens: list[int] = []
    for number, (period, length) in enumerate(runs):
        base = 1000 * number
        tokens += [base + (n % period if period else n) for n in range(length)]
    return tokens


@given(
    runs=RUNS,
    first=st.integers(4, 40),
    ahead=st.integers(0, 3),
    growth=st.floats(1.0, 3.0),
    pauses=st.lists(st.integers(0, 50), max_size=5),
)
def test_chunks_cover_what_is_kept_once_and_do_not_depend_on_timing(
    runs: list[tuple[int, int]], first: int, ahead: int, growth: float, pauses: list[int]
) -> None:
    config = EngineConfig(
        first_chunk_tokens=first,
        look_ahead_tokens=ahead,
        chunk_growth=growth,
        max_speech_tokens=500,
    )
    tokens = spoken(runs)
    cuts = chunks_of(tokens, config, pauses)
    assert cuts[0][0] == 0
    assert cuts[-1][1] <= len(tokens)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cuts))
    assert all(start < end for start, end, _ in cuts)
    assert cuts == chunks_of(tokens, config, [])
    if all(period == 0 or length < config.stuck_tokens for period, length in runs):
        assert cuts[-1][1] == len(tokens)
