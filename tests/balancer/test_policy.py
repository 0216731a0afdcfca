"""Who takes a call: the choice as a function of values."""

import math
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.policy import BOUND_FACTOR, COLD_SHARE, Candidate, Wish, choose, warmth


def candidate(name: str, **facts: object) -> Candidate:
    return Candidate(**{"id": name, "work": 0.0, "capacity": 8, "room": 32} | facts)  # type: ignore[arg-type]


candidates = st.lists(
    st.builds(
        Candidate,
        id=st.text("abcdef", min_size=1, max_size=4),
        work=st.floats(0, 100),
        capacity=st.integers(1, 64),
        room=st.integers(-3, 32),
        warmth=st.floats(COLD_SHARE, 1),
        resident_voices=st.frozensets(st.sampled_from(["voices/a", "voices/b"])),
    ),
    max_size=6,
    unique_by=lambda each: each.id,
)
wishes = st.builds(
    Wish, voice=st.sampled_from(["", "voices/a", "voices/c"]), takes_place=st.booleans()
)


@given(candidates, wishes, st.integers())
def test_somebody_is_chosen_exactly_when_somebody_has_room(
    offered: list[Candidate], wish: Wish, seed: int
) -> None:
    chosen = choose(offered, wish, Random(seed))
    roomy = [each for each in offered if each.room > 0 or not wish.takes_place]
    assert chosen in roomy if roomy else chosen is None


@given(candidates, st.integers())
def test_the_busiest_of_three_or_more_is_never_chosen(offered: list[Candidate], seed: int) -> None:
    roomy = [each for each in offered if each.room > 0]
    loads = sorted(each.load_with_one_more for each in roomy)
    chosen = choose(offered, Wish(), Random(seed))
    if len(roomy) > 1 and loads[-1] > loads[-2]:
        assert chosen is not None
        assert chosen.load_with_one_more < loads[-1]


def served(offered: list[Candidate], wishes: list[Wish], seed: int = 1) -> list[Candidate]:
    """The candidates after these calls have arrived and none has ended."""
    rng = Random(seed)
    now = {each.id: each for each in offered}
    for wish in wishes:
        chosen = choose(list(now.values()), wish, rng)
        assert chosen is not None
        now[chosen.id] = replace(chosen, work=chosen.work + 1, room=chosen.room - 1)
    return list(now.values())


def test_calls_spread_evenly() -> None:
    offered = [candidate(name, room=1000) for name in "abcdefgh"]
    loads = [each.work for each in served(offered, [Wish()] * 400)]
    assert max(loads) - min(loads) <= 3


def test_a_backend_of_twice_the_capacity_takes_twice_the_calls() -> None:
    offered = [candidate("small", capacity=4, room=1000), candidate("large", capacity=8, room=1000)]
    loads = {each.id: each.work for each in served(offered, [Wish()] * 300)}
    assert loads["large"] == pytest.approx(2 * loads["small"], abs=3)


def test_a_cold_backend_takes_its_small_share() -> None:
    offered = [candidate("cold", warmth=0.1, room=1000), candidate("warm", room=1000)]
    loads = {each.id: each.work for each in served(offered, [Wish()] * 110)}
    assert loads["cold"] == pytest.approx(10, abs=2)


def test_queued_audio_weighs_like_streams() -> None:
    chosen = choose([candidate("a", work=6.0), candidate("b", work=5.0)], Wish(), Random(1))
    assert chosen is not None
    assert chosen.id == "b"


def test_calls_of_one_voice_meet_while_there_is_little_to_do() -> None:
    offered = [candidate(name) for name in "abcd"]
    first = {choose(offered, Wish(voice=f"voices/{n}"), Random(n)) for n in [7] * 20}
    assert len(first) == 1


def test_voices_spread_over_backends() -> None:
    offered = [candidate(name) for name in "abcd"]
    firsts = Counter()  # type: ignore[var-annotated]
    for number in range(400):
        chosen = choose(offered, Wish(voice=f"voices/{number}"), Random(1))
        assert chosen is not None
        firsts[chosen.id] += 1
    assert min(firsts.values()) > 60


@given(st.integers(2, 6), st.integers(1, 120), st.integers(0, 50))
def test_a_popular_voice_is_kept_within_its_bound(count: int, calls: int, voice: int) -> None:
    offered = [candidate(f"backend-{number}", room=1000) for number in range(count)]
    after = served(offered, [Wish(voice=f"voices/{voice}")] * calls)
    assert max(each.work for each in after) <= math.ceil(BOUND_FACTOR * calls / count)


@given(st.integers(0, 200))
def test_a_backend_that_leaves_moves_only_its_own_voices(number: int) -> None:
    wish = Wish(voice=f"voices/{number}")
    offered = [candidate(name) for name in "abcde"]
    before = choose(offered, wish, Random(1))
    after = choose([each for each in offered if each.id != "c"], wish, Random(1))
    assert before is not None
    assert before == after or before.id == "c"


def test_who_has_the_voice_already_comes_first() -> None:
    wish = Wish(voice="voices/ada")
    for name in "abcd":
        offered = [
            candidate(each, resident_voices=frozenset({"voices/ada"} if each == name else ()))
            for each in "abcd"
        ]
        chosen = choose(offered, wish, Random(1))
        assert chosen is not None
        assert chosen.id == name


def test_a_list_is_never_turned_away() -> None:
    full = [candidate("a", room=0)]
    assert choose(full, Wish(), Random(1)) is None
    assert choose(full, Wish(takes_place=False), Random(1)) == full[0]


def test_a_backend_warms_up_from_a_tenth_to_the_whole() -> None:
    shares = [warmth(seconds, slow_start_s=5.0) for seconds in (0.0, 0.1, 2.5, 5.0, 100.0)]
    assert shares == [COLD_SHARE, COLD_SHARE, 0.5, 1.0, 1.0]
    assert warmth(0.0, slow_start_s=0.0) == 1.0
