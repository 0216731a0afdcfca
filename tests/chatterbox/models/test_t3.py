"""T3: rows are independent, and the cache changes nothing but the cost."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.t3.cache import KVCache, Reading, Run, Stepping, plan_runs
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import convert_t3

GPT2 = replace(
    T3Config.nano(), layers=2, dim=128, heads=2, mlp_dim=256, text_vocabulary=90, max_positions=600
)
CONFIGS = {"llama": replace(T3Config.tiny(), perceiver_queries=8), "gpt2": GPT2}


@pytest.fixture(scope="module", params=CONFIGS)
def t3(request: pytest.FixtureRequest) -> T3:
    torch.manual_seed(0)
    return T3(CONFIGS[request.param]).eval()


@pytest.fixture
def voice() -> T3Conditioning:
    generator = torch.Generator().manual_seed(1)
    return T3Conditioning(
        speaker_embedding=torch.randn(1, 256, generator=generator),
        prompt_tokens=torch.randint(0, 700, (1, 20), generator=generator),
    )


def random_embeds(t3: T3, rows: int, time: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, time, t3.config.dim, generator=generator)


def read(t3: T3, embeds: Tensor, cache: KVCache, row: int, start: int = 0) -> Tensor:
    """Give one or more neighbouring rows the next positions, from `start`."""
    rows, time = embeds.shape[:2]
    positions = torch.arange(start, start + time).expand(rows, time)
    memory = Reading(cache, slice(row, row + rows), slice(start, start + time))
    return t3(embeds, positions, memory)


def step(t3: T3, embeds: Tensor, cache: KVCache, rows: list[int], lengths: list[int]) -> Tensor:
    """Give rows that hold `lengths` positions one more each."""
    runs = plan_runs(rows, [length + 1 for length in lengths])
    positions = torch.tensor(lengths)[:, None]
    memory = Stepping(cache, runs, cache.addresses(rows), positions)
    return t3(embeds, positions, memory)


@torch.inference_mode()
@pytest.mark.parametrize("pieces", [[7], [3, 4], [1, 1, 5]])
def test_reading_in_pieces_and_decoding_equal_one_pass_without_a_cache(
    t3: T3, pieces: list[int]
) -> None:
    embeds = random_embeds(t3, 2, 12, seed=2)
    cache = KVCache(t3.config, rows=3, max_length=16)

    start = 0
    for piece in pieces:
        logits = [read(t3, embeds[:, start : start + piece], cache, 1, start)]
        start += piece
    logits += [
        step(t3, embeds[:, place : place + 1], cache, [1, 2], [place, place])
        for place in range(7, 12)
    ]

    expected = t3.speech_head(t3.hidden(embeds))[:, 6:]
    torch.testing.assert_close(torch.stack(logits, dim=1), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [[0, 1, 2], [4, 0, 2], [1, 2, 4]])
@pytest.mark.parametrize("lengths", [[5, 11, 8], [5, 5, 5], [90, 5, 6]])
def test_rows_of_different_length_decoded_together_equal_each_alone(
    t3: T3, rows: list[int], lengths: list[int]
) -> None:
    prefixes = [
        random_embeds(t3, 1, length, seed=seed) for seed, length in enumerate(lengths, start=10)
    ]
    steps = random_embeds(t3, 3, 4, seed=9)
    cache = KVCache(t3.config, rows=5, max_length=100)
    cache.values.fill_(3e4)
    cache.keys.fill_(3e4)  # nobody may read what nobody wrote

    for row, prefix in zip(rows, prefixes, strict=True):
        read(t3, prefix, cache, row)
    together = [
        step(t3, steps[:, n : n + 1], cache, rows, [length + n for length in lengths])
        for n in range(4)
    ]

    for index, prefix in enumerate(prefixes):
        alone = t3.hidden(torch.cat([prefix, steps[index : index + 1]], dim=1))[0, -4:]
        expected = t3.speech_head(alone)
        actual = torch.stack(together, dim=1)[index]
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_runs_are_neighbours_of_one_length() -> None:
    rows = [0, 1, 2, 5, 6, 8]
    lengths = [10, 10, 40, 900, 900, 900]
    runs = plan_runs(rows, lengths)

    assert [(run.rows.start, run.rows.stop, run.reach) for run in runs] == [
        (0, 2, 10),
        (2, 3, 40),
        (5, 7, 900),
        (8, 9, 900),
    ]
    assert [row for run in runs for row in range(run.rows.start, run.rows.stop)] == rows
    assert [place for run in runs for place in range(run.part.start, run.part.stop)] == [*range(6)]


@torch.inference_mode()
def test_rows_read_further_than_they_reach_see_no_more(t3: T3) -> None:
    """The form of a recorded step: one run, masked."""
    lengths, rows = [5, 11], [0, 1]
    steps = random_embeds(t3, 2, 1, seed=9)
    logits = []
    for recorded in (False, True):
        cache = KVCache(t3.config, rows=2, max_length=40)
        cache.keys.fill_(3e4)
        cache.values.fill_(3e4)
        for row, length in zip(rows, lengths, strict=True):
            read(t3, random_embeds(t3, 1, length, seed=length), cache, row)
        runs = plan_runs(rows, [length + 1 for length in lengths])
        if recorded:
            runs = [Run(slice(0, 2), slice(0, 2), 32, is_even=False)]
        positions = torch.tensor(lengths)[:, None]
        memory = Stepping(cache, runs, cache.addresses(rows), positions)
        logits.append(t3(steps, positions, memory))

    torch.testing.assert_close(logits[1], logits[0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_padding_at_the_end_does_not_change_a_row(t3: T3) -> None:
    embeds = random_embeds(t3, 1, 9, seed=3)
    padded = torch.cat([embeds, random_embeds(t3, 1, 5, seed=4)], dim=1)

    torch.testing.assert_close(t3.hidden(padded)[:, :9], t3.hidden(embeds), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_second_row_of_a_guided_prefix_does_not_know_the_words(voice: T3Conditioning) -> None:
    t3 = T3(replace(T3Config.tiny(), perceiver_queries=8)).eval()
    one = t3.prefix(torch.tensor([[5, 6, 7]]), voice, guided=True)
    other = t3.prefix(torch.tensor([[8, 9, 10]]), voice, guided=True)

    assert one.shape == (2, 10 + 5 + 2, 256)  # voice, framed text, two starts
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(one[:1], t3.prefix(torch.tensor([[5, 6, 7]]), voice, guided=False))


@torch.inference_mode()
def test_exaggeration_is_heard_only_by_families_that_know_it(t3: T3, voice: T3Conditioning) -> None:
    calm = t3.embed_conditioning(replace(voice, exaggeration=0.1))
    wild = t3.embed_conditioning(replace(voice, exaggeration=1.9))

    assert torch.equal(calm, wild) == (not t3.config.emotion)


@torch.inference_mode()
def test_a_voice_without_a_prompt_leaves_its_places_out(t3: T3, voice: T3Conditioning) -> None:
    bare = replace(voice, prompt_tokens=torch.empty(1, 0, dtype=torch.long))

    assert t3.embed_conditioning(bare).shape[1] == (2 if t3.config.emotion else 1)


def test_attention_weights_are_causal_and_sum_to_one(t3: T3) -> None:
    seen: dict[int, Tensor] = {}
    embeds = random_embeds(t3, 2, 6, seed=5)
    t3.hidden(embeds, watch=seen.__setitem__)
    attention = t3.backbone.blocks[1].attention
    _, places = t3.backbone.place(embeds, torch.arange(6).expand(2, 6))
    weights = attention.weights(seen[1], places, heads=[0, 1])

    assert sorted(seen) == list(range(t3.config.layers))
    assert weights.shape == (2, 2, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 6))
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))


@torch.inference_mode()
def test_the_form_for_inference_computes_the_same(t3: T3) -> None:
    embeds = random_embeds(t3, 2, 12, seed=2)
    expected = t3.speech_head(t3.hidden(embeds))
    packed = deepcopy(t3)
    convert_t3(packed, "fp32")

    actual = packed.speech_head(packed.hidden(embeds))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert not list(packed.backbone.blocks[0].attention.parameters())
