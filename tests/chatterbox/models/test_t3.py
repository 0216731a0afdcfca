"""T3: rows are independent, and the cache changes nothing but the cost."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.t3.cache import KVCache
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3

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


@torch.inference_mode()
def test_decoding_step_by_step_equals_one_pass_without_a_cache(t3: T3) -> None:
    embeds = random_embeds(t3, 2, 12, seed=2)
    cache = KVCache(t3.config, rows=2, max_length=16)
    rows = torch.arange(2)

    logits = [t3(embeds[:, :7], cache, rows, torch.zeros(2, dtype=torch.long))]
    logits += [
        t3(embeds[:, place : place + 1], cache, rows, torch.full((2,), place))
        for place in range(7, 12)
    ]

    expected = t3.speech_head(t3.hidden(embeds))[:, 6:]
    torch.testing.assert_close(torch.stack(logits, dim=1), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("rows", [[0, 1, 2], [4, 0, 2]], ids=["neighbours", "scattered"])
@pytest.mark.parametrize("reach", [None, 32], ids=["shortest", "whole"])
def test_rows_of_different_length_decoded_together_equal_each_alone(
    t3: T3, rows: list[int], reach: int | None
) -> None:
    lengths = [5, 11, 8]
    prefixes = [random_embeds(t3, 1, length, seed=length) for length in lengths]
    steps = random_embeds(t3, 3, 4, seed=9)
    cache = KVCache(t3.config, rows=5, max_length=32)
    cache.values.fill_(3e4)
    cache.keys.fill_(3e4)  # nobody may read what nobody wrote

    for row, prefix in zip(rows, prefixes, strict=True):
        t3(prefix, cache, torch.tensor([row]), torch.zeros(1, dtype=torch.long))
    starts = torch.tensor(lengths)
    together = []
    for step in range(4):
        embeds = steps[:, step : step + 1]
        together.append(t3(embeds, cache, torch.tensor(rows), starts + step, reach))

    for index, prefix in enumerate(prefixes):
        alone = t3.hidden(torch.cat([prefix, steps[index : index + 1]], dim=1))[0, -4:]
        expected = t3.speech_head(alone)
        actual = torch.stack(together, dim=1)[index]
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


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
    weights = attention.weights(seen[1], torch.arange(6).expand(2, 6), heads=[0, 1])

    assert sorted(seen) == list(range(t3.config.layers))
    assert weights.shape == (2, 2, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 6))
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))
