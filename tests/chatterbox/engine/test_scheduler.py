"""The scheduler, by example and by property."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.plan import Plan, Prefill
from chatterbox.engine.scheduler import Scheduler
from chatterbox.engine.sequence import Chunk, Finish, Phase, Sequence, Utterance
from chatterbox.errors import ConfigError, Overloaded
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

NO_VOICE = cast("Callable[[], Conditioning]", None)


def sequence(*, max_tokens: int = 100, awaited: bool = True) -> Sequence:
    utterance = Utterance(
        text="text",
        family="tone",
        voice="ada",
        language="en",
        sampling=Sampling(seed=0),
        conditioning=NO_VOICE,
        awaited=awaited,
    )
    return Sequence(utterance=utterance, max_tokens=max_tokens)


def draw(scheduler: Scheduler, token: Callable[[Sequence], int | None]) -> tuple[Sequence, ...]:
    admit(scheduler)
    plan = scheduler.plan()
    drawn = {piece.sequence: (token(piece.sequence),) for piece in plan.prefill if piece.is_last}
    return scheduler.commit(plan, drawn | {s: (token(s),) for s in plan.decode})


def admit(scheduler: Scheduler, *, positions: int = 10) -> tuple[Sequence, ...]:
    """Everyone who gets a slot now."""
    admitted = []
    while (s := scheduler.admit()) is not None:
        scheduler.admitted(s, positions)
        admitted.append(s)
    return tuple(admitted)


def counting(s: Sequence) -> int:
    return len(s.tokens)


def test_a_drawn_sequence_frees_its_slot_for_the_next_one() -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=2))
    first, second = sequence(max_tokens=1), sequence()
    scheduler.submit(first)
    scheduler.submit(second)

    assert admit(scheduler) == (first,)
    plan = scheduler.plan()
    assert plan == Plan((Prefill(first, 0, 10, is_last=True),), ())
    assert scheduler.commit(plan, {first: (7,)}) == (first,)
    assert first.phase is Phase.VOICING
    assert admit(scheduler) == (second,)


def test_running_sequences_decode_while_newcomers_prefill() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    first, second = sequence(), sequence()
    scheduler.submit(first)
    draw(scheduler, counting)
    scheduler.submit(second)
    admit(scheduler)

    plan = scheduler.plan()

    assert plan.decode == (first,)
    assert plan.prefill == (Prefill(second, 0, 10, is_last=True),)


def test_prefixes_are_read_in_bounded_pieces_while_others_speak() -> None:
    scheduler = Scheduler(EngineConfig(slots=5, prefill_positions=100))
    speaking, long, after = sequence(), sequence(), sequence()
    scheduler.submit(speaking)
    draw(scheduler, counting)
    scheduler.submit(long)
    scheduler.submit(after)
    pieces = []
    for _ in range(4):
        admit(scheduler, positions=150)
        plan = scheduler.plan()
        assert plan.decode[0] is speaking
        pieces.append([(p.sequence, p.start, p.stop, p.is_last) for p in plan.prefill])
        first_tokens = {p.sequence: (1,) for p in plan.prefill if p.is_last}
        scheduler.commit(plan, first_tokens | dict.fromkeys(plan.decode, (1,)))
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
    scheduler.submit(ending)
    scheduler.submit(limited)
    draw(scheduler, counting)
    plan = scheduler.plan()
    assert plan.steps == 4
    scheduler.commit(plan, {ending: (1, 2, None), limited: (1, 2, 3, 4)})
    assert (ending.tokens, ending.finish) == ([0, 1, 2], Finish.STOPPED)
    assert (limited.tokens, limited.finish) == ([0, 1, 2], Finish.TOO_LONG)


def test_a_full_scheduler_refuses_at_once() -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=1))
    scheduler.submit(sequence())
    scheduler.submit(sequence())
    with pytest.raises(Overloaded):
        scheduler.submit(sequence())


@pytest.mark.parametrize("steps", [0, 1, 30])
def test_cancelling_frees_the_slot_at_once(steps: int) -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=1))
    leaving, staying = sequence(), sequence()
    scheduler.submit(leaving)
    for _ in range(steps):
        draw(scheduler, counting)
    scheduler.submit(staying)

    assert scheduler.cancel(leaving)
    assert not scheduler.cancel(leaving)
    assert admit(scheduler) == (staying,)


def test_a_sequence_cancelled_while_it_is_read_frees_its_slot() -> None:
    scheduler = Scheduler(EngineConfig(slots=1, max_waiting=1, prefill_positions=4))
    leaving, staying = sequence(), sequence()
    scheduler.submit(leaving)
    draw(scheduler, counting)
    assert leaving.phase is Phase.READING
    scheduler.submit(staying)
    scheduler.cancel(leaving)
    assert admit(scheduler) == (staying,)


def test_a_token_drawn_for_a_sequence_cancelled_meanwhile_is_ignored() -> None:
    scheduler = Scheduler(EngineConfig(slots=2))
    leaving = sequence()
    scheduler.submit(leaving)
    admit(scheduler)
    plan = scheduler.plan()
    scheduler.cancel(leaving)
    assert scheduler.commit(plan, {leaving: (5,)}) == ()
    assert scheduler.is_idle


def test_the_first_chunk_is_ready_after_the_first_dozen_tokens() -> None:
    scheduler = Scheduler(EngineConfig(first_chunk_tokens=12, look_ahead_tokens=3))
    speaking = sequence()
    scheduler.submit(speaking)
    for _ in range(11):
        draw(scheduler, counting)
        assert scheduler.ready_to_speak() == ()
    draw(scheduler, counting)
    assert scheduler.ready_to_speak() == (Chunk(speaking, 0, 9, is_last=False),)


def test_an_utterance_shorter_than_a_chunk_is_one_chunk() -> None:
    scheduler = Scheduler(EngineConfig())
    brief = sequence(max_tokens=3)
    scheduler.submit(brief)
    for _ in range(3):
        draw(scheduler, counting)
    assert scheduler.ready_to_speak() == (Chunk(brief, 0, 3, is_last=True),)


def test_an_utterance_without_speech_is_done_without_audio() -> None:
    scheduler = Scheduler(EngineConfig())
    mute = sequence()
    scheduler.submit(mute)
    assert draw(scheduler, lambda _: None) == (mute,)
    assert mute.phase is Phase.DONE
    assert scheduler.ready_to_speak() == ()
    assert scheduler.is_idle


def test_first_sounds_that_are_awaited_come_before_follow_ups() -> None:
    scheduler = Scheduler(EngineConfig(slots=3))
    follow_up, awaited = sequence(awaited=False), sequence()
    scheduler.submit(follow_up, now_s=0.0)
    scheduler.submit(awaited, now_s=1.0)
    for _ in range(12):
        draw(scheduler, counting)

    (first,) = scheduler.ready_to_speak()
    assert first.sequence is awaited
    scheduler.rendered(first, duration_s=0.36, now_s=1.5)
    for _ in range(30):
        draw(scheduler, counting)
    (second,) = scheduler.ready_to_speak()
    assert second.sequence is awaited, "what is playing runs out before the follow-up is due"


def test_a_follow_up_is_not_starved_by_newcomers() -> None:
    scheduler = Scheduler(EngineConfig(slots=2))
    old, new = sequence(awaited=False), sequence()
    scheduler.submit(old, now_s=0.0)
    draw(scheduler, counting)
    scheduler.submit(new, now_s=100.0)
    for _ in range(12):
        draw(scheduler, counting)
    (first,) = scheduler.ready_to_speak()
    scheduler.rendered(first, duration_s=0.36, now_s=100.0)
    (second,) = scheduler.ready_to_speak()
    assert {first.sequence, second.sequence} == {old, new}


def test_repetition_is_cut() -> None:
    scheduler = Scheduler(EngineConfig(stuck_tokens=20))
    looping = sequence(max_tokens=500)
    scheduler.submit(looping)
    steps = 0
    while looping.phase is not Phase.VOICING:
        draw(scheduler, lambda s: len(s.tokens) if len(s.tokens) < 30 else len(s.tokens) % 3)
        steps += 1
    assert looping.finish is Finish.STUCK
    assert steps == 50


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
        {"stuck_tokens": 2},
    ],
)
def test_bounds_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        EngineConfig(**wrong)  # type: ignore[arg-type]


def chunks_of(token_count: int, config: EngineConfig, pauses: list[int]) -> list[tuple[int, int]]:
    """How a sequence of this length is cut when rendering lags behind by `pauses`."""
    scheduler = Scheduler(config)
    s = sequence(max_tokens=token_count)
    scheduler.submit(s)
    cuts: list[tuple[int, int]] = []
    step = 0
    while s.phase is not Phase.DONE:
        draw(scheduler, counting)
        step += 1
        if pauses and step % (pauses[step % len(pauses)] + 1) and not s.is_drawn:
            continue
        for chunk in scheduler.ready_to_speak():
            cuts.append((chunk.start, chunk.end))
            scheduler.rendered(chunk, duration_s=1.0, now_s=0.0)
    return cuts


@given(
    token_count=st.integers(1, 300),
    first=st.integers(4, 40),
    growth=st.floats(1.0, 3.0),
    pauses=st.lists(st.integers(0, 50), max_size=5),
)
def test_chunks_cover_every_token_once_and_do_not_depend_on_timing(
    token_count: int, first: int, growth: float, pauses: list[int]
) -> None:
    config = EngineConfig(first_chunk_tokens=first, chunk_growth=growth, max_speech_tokens=300)
    cuts = chunks_of(token_count, config, pauses)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == token_count
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cuts))
    assert all(start < end for start, end in cuts)
    assert cuts == chunks_of(token_count, config, [])


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["submit", "step", "render", "cancel"]), st.integers(0, 1000)),
    max_size=120,
)


@given(slots=st.integers(1, 4), max_waiting=st.integers(0, 4), actions=ACTIONS)
def test_whatever_happens_slots_are_kept_and_everyone_gets_through(
    slots: int, max_waiting: int, actions: list[tuple[str, int]]
) -> None:
    scheduler = Scheduler(EngineConfig(slots=slots, max_waiting=max_waiting))
    known: list[Sequence] = []
    now_s = 0.0

    def render() -> None:
        for chunk in scheduler.ready_to_speak():
            scheduler.rendered(chunk, duration_s=0.04 * (chunk.end - chunk.start), now_s=now_s)

    for action, number in actions:
        now_s += 0.01
        if action == "submit":
            s = sequence(max_tokens=number % 60 + 1, awaited=number % 3 > 0)
            if len([k for k in known if k.phase is not Phase.DONE]) < slots + max_waiting:
                scheduler.submit(s, now_s=now_s)
                known.append(s)
            else:
                with pytest.raises(Overloaded):
                    scheduler.submit(s, now_s=now_s)
        elif action == "cancel" and known:
            scheduler.cancel(known[number % len(known)])
        elif action == "render":
            render()
        else:
            draw(scheduler, counting)
        scheduler.check()

    for _ in range(20_000):
        if scheduler.is_idle:
            break
        draw(scheduler, counting)
        render()
    assert scheduler.is_idle
    assert all(s.phase is Phase.DONE and s.slot is None for s in known)
    for s in known:
        assert s.finish is Finish.CANCELLED or s.voiced_count == len(s.tokens) == s.max_tokens
