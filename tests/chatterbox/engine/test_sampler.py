"""The sampler: each row on its own, filters that only cut, draws that repeat and are fair."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chatterbox.engine.sampler import (
    Candidates,
    History,
    SamplingTable,
    draw,
    guide,
    process,
    shortlist,
    uniform,
)
from chatterbox.speech import Sampling

VOCABULARY = 60
PLAIN = Sampling(
    temperature=1.0, cfg_weight=0.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0
)


def table(*rows: Sampling, penalty_last: bool = False) -> SamplingTable:
    return SamplingTable.of(rows, vocabulary=VOCABULARY, penalty_last=penalty_last)


def scores(rows: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def everything(shares: Tensor) -> Candidates:
    """All tokens, as likely as `shares` (rows, vocabulary) say."""
    return Candidates(shares.log(), torch.arange(shares.shape[-1]).expand_as(shares))


def nothing_seen(rows: int) -> Tensor:
    return torch.zeros(rows, VOCABULARY, dtype=torch.bool)


any_settings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 0.8, 1.0, 5.0]),
    cfg_weight=st.floats(0.0, 1.0),
    top_p=st.sampled_from([0.01, 0.5, 0.95, 1.0]),
    top_k=st.sampled_from([0, 1, 7, 1000]),
    min_p=st.sampled_from([0.0, 0.05, 0.9, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.2, 5.0]),
)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(any_settings, min_size=1, max_size=5), penalty_last=st.booleans())
def test_rows_processed_together_equal_each_alone(
    *, rows: list[Sampling], penalty_last: bool
) -> None:
    logits = scores(len(rows))
    seen = scores(len(rows), seed=1) > 1
    together = process(logits, seen, table(*rows, penalty_last=penalty_last))

    for index, row in enumerate(rows):
        alone = process(
            logits[index : index + 1],
            seen[index : index + 1],
            table(row, penalty_last=penalty_last),
        )
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-6, rtol=0)
        assert torch.equal(together[index] > 0, alone[0] > 0)
    torch.testing.assert_close(together.sum(-1), torch.ones(len(rows)))


@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(any_settings, min_size=1, max_size=4),
    penalty_last=st.booleans(),
    seed=st.integers(0, 99),
    spread=st.sampled_from([0.1, 1.0, 4.0]),
)
def test_looking_at_few_candidates_draws_what_looking_at_all_does(
    *, rows: list[Sampling], penalty_last: bool, seed: int, spread: float
) -> None:
    """Over a vocabulary where few are few; flat scores need all of it, sharp ones a handful."""
    vocabulary, count = 700, len(rows)
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(count, vocabulary, generator=generator)
    seen = torch.rand(count, vocabulary, generator=generator) < 0.2
    settings = SamplingTable.of(rows, vocabulary=vocabulary, penalty_last=penalty_last)
    seeds, positions = torch.arange(count) + seed, torch.full((count,), 7)

    few = shortlist(logits, seen, settings, narrow=True)
    every = shortlist(logits, seen, settings)
    assert torch.equal(draw(few, seeds, positions), draw(every, seeds, positions))
    for row in range(count):
        kept = every.tokens[row][every.scores[row].isfinite()]
        assert set(few.tokens[row][few.scores[row].isfinite()].tolist()) == set(kept.tolist())


def test_sharp_scores_are_sampled_from_few_candidates() -> None:
    logits = torch.zeros(2, 6000)
    logits[:, :5] = 20.0
    usual = replace(PLAIN, top_p=0.95, min_p=0.05)
    settings = SamplingTable.of([usual, usual], vocabulary=6000, penalty_last=False)

    few = shortlist(logits, torch.zeros(2, 6000, dtype=torch.bool), settings, narrow=True)
    assert few.tokens.shape[1] < 100


def test_settings_that_filter_nothing_leave_the_softmax() -> None:
    logits = scores(2)
    permissive = replace(PLAIN, top_k=VOCABULARY)

    assert not table(PLAIN, permissive).filters
    torch.testing.assert_close(
        process(logits, nothing_seen(2), table(PLAIN, permissive)), logits.softmax(-1)
    )


@pytest.mark.parametrize("penalty_last", [False, True])
def test_temperature_zero_is_the_limit_of_small_ones(*, penalty_last: bool) -> None:
    logits, seen = scores(1), scores(1, seed=4) > 1
    seen[0, logits.argmax()] = True
    frozen = replace(PLAIN, temperature=0.0, top_p=0.95, repetition_penalty=5.0)
    cold = replace(frozen, temperature=1e-4)

    assert torch.equal(
        process(logits, seen, table(frozen, penalty_last=penalty_last)),
        process(logits, seen, table(cold, penalty_last=penalty_last)),
    )


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"top_k": 3}, 3),
        ({"top_k": 1}, 1),
        ({"min_p": 1.0}, 1),
        ({"top_p": 1e-6}, 1),
        ({"top_p": 0.5}, 2),  # 0.4 + 0.3 is the first sum over a half
        ({"min_p": 0.6}, 2),  # 0.4 and 0.3, above 0.24
    ],
)
def test_each_filter_cuts_the_tail_it_names(change: dict[str, float], kept: int) -> None:
    shares = torch.full((1, VOCABULARY), 0.1 / (VOCABULARY - 3))
    shares[0, [5, 9, 2]] = torch.tensor([0.4, 0.3, 0.2])
    probabilities = process(shares.log(), nothing_seen(1), table(replace(PLAIN, **change)))

    assert set(probabilities[0].nonzero()[:, 0].tolist()) == {5, 9, 2}.intersection(
        [5, 9, 2][:kept]
    )


def test_a_drawn_token_is_penalised_once_whatever_its_sign() -> None:
    logits = torch.zeros(1, VOCABULARY)
    logits[0, :2] = torch.tensor([4.0, -4.0])
    seen = nothing_seen(1)
    seen[0, :2] = True
    probabilities = process(logits, seen, table(replace(PLAIN, repetition_penalty=2.0)))

    relative = (probabilities[0] / probabilities[0, 2]).log()
    torch.testing.assert_close(relative[:2], torch.tensor([2.0, -8.0]), atol=1e-4, rtol=1e-4)


def test_guidance_moves_away_from_what_ignores_the_text() -> None:
    told, untold = scores(2), scores(2, seed=3)
    mixed = guide(told, untold, table(PLAIN, replace(PLAIN, cfg_weight=0.5)))

    assert torch.equal(mixed[0], told[0])
    torch.testing.assert_close(mixed[1], 1.5 * told[1] - 0.5 * untold[1])


def test_history_forgets_the_start_token_only_where_the_family_does() -> None:
    for keeps_start in (True, False):
        history = History(slots=3, vocabulary=10, start=9, keeps_start=keeps_start)
        history.begin(1)
        assert history.seen.nonzero().tolist() == [[1, 9]]
        history.add(torch.tensor([1]), torch.tensor([4]))
        expected = [4, 9] if keeps_start else [4]
        assert history.seen[1].nonzero()[:, 0].tolist() == expected
        history.add(torch.tensor([1]), torch.tensor([9]))
        history.add(torch.tensor([1]), torch.tensor([2]))
        assert history.seen[1].nonzero()[:, 0].tolist() == [2, 4, 9], "drawn itself, it stays"
        history.begin(1)
        assert history.seen.nonzero().tolist() == [[1, 9]]
        history.add(torch.tensor([1]), torch.tensor([3]), torch.tensor([False]))
        assert 3 not in history.seen[1].nonzero()[:, 0], "nothing is noted of a row that ended"


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    shares = scores(6).softmax(-1)
    seeds = torch.tensor([1, 1, 2, 2**62, 0, 1])
    positions = torch.tensor([0, 1, 0, 7, 0, 0])
    together = draw(everything(shares), seeds, positions)

    for row in range(6):
        one = slice(row, row + 1)
        assert draw(everything(shares[one]), seeds[one], positions[one]) == together[row]


def test_a_draw_does_not_depend_on_the_order_of_the_candidates() -> None:
    shares = scores(1).softmax(-1)
    order = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(3))
    for position in range(50):
        where = torch.tensor([5]), torch.tensor([position])
        shuffled = Candidates(shares.log()[:, order], order[None])
        assert draw(shuffled, *where) == draw(everything(shares), *where)


def test_draws_are_as_frequent_as_they_are_probable() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05, 0.0]])
    count = 20_000
    candidates = everything(probabilities.expand(count, -1))
    tokens = draw(candidates, torch.full((count,), 42), torch.arange(count))
    drawn = Counter(tokens.tolist())

    for token, probability in enumerate(probabilities[0].tolist()):
        deviation = (probability * (1 - probability) / count) ** 0.5
        assert abs(drawn[token] / count - probability) <= 4 * deviation


def test_random_numbers_lie_inside_the_open_unit_interval_and_fill_it() -> None:
    numbers = uniform(torch.tensor([0, 1, 2**63 - 1]), torch.tensor([0, 0, 5]), 50_000)

    assert numbers.min() > 0
    assert numbers.max() < 1
    torch.testing.assert_close(
        numbers.mean(-1), torch.full((3,), 0.5, dtype=torch.float64), atol=0.01, rtol=0
    )
    spread = torch.full((3,), 12**-0.5, dtype=torch.float64)
    torch.testing.assert_close(numbers.std(-1), spread, atol=0.01, rtol=0)
    assert abs(float(torch.corrcoef(numbers)[0, 1])) < 0.03, "neighbouring seeds are unrelated"


def test_random_numbers_are_splitmix64() -> None:
    """Against plain integers, so that another device or a rewrite draws the same tokens."""
    mask = 2**64 - 1

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    state = mix((mix(123) + 45 * golden) & mask)
    expected = [
        ((mix((state + count * golden) & mask) >> 12) + 0.5) * 2.0**-52 for count in (1, 2, 3)
    ]

    assert uniform(torch.tensor([123]), torch.tensor([45]), 3)[0].tolist() == expected


def test_impossible_tokens_are_never_drawn() -> None:
    probabilities = torch.zeros(5000, 40)
    probabilities[:, 17] = 1e-30
    seeds = torch.zeros(5000, dtype=torch.long)
    tokens = draw(everything(probabilities), seeds, torch.arange(5000))

    assert set(tokens.tolist()) == {17}
