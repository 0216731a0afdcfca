"""The S3 tokenizer hears what the reference hears."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from chatterbox.models.checkpoint import S3GEN_OPTIONAL, load_strict, without_storage
from chatterbox.models.s3tokenizer.config import S3TokenizerConfig
from chatterbox.models.s3tokenizer.model import S3Tokenizer

FAMILY = "s3tok"
CLIPS = ("a", "b")


@pytest.fixture(scope="module")
def tokenizer(golden: Any) -> Iterator[S3Tokenizer]:
    tokenizer = without_storage(lambda: S3Tokenizer(S3TokenizerConfig.v2())).eval()
    optional = {key.removeprefix("tokenizer.") for key in S3GEN_OPTIONAL}
    load_strict(tokenizer, golden.state("s3gen", "tokenizer."), optional=optional)
    with torch.inference_mode():
        yield tokenizer


@pytest.fixture(scope="module")
def clips(golden: Any) -> dict[str, Tensor]:
    recorded = golden.family(FAMILY)
    return {name: recorded[f"{name}.wav_i16"].float()[None] / 32768.0 for name in CLIPS}


@pytest.fixture
def rounded(tokenizer: S3Tokenizer) -> Iterator[list[Tensor]]:
    """What has been rounded to tokens so far, one tensor per pass."""
    seen: list[Tensor] = []
    handle = tokenizer.quantizer.register_forward_hook(lambda *call: seen.append(call[2]))
    yield seen
    handle.remove()


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_heard_as_in_the_reference(
    name: str, tokenizer: S3Tokenizer, clips: dict[str, Tensor], golden: Any
) -> None:
    log_mel = tokenizer.log_mel(clips[name])
    hidden = tokenizer.encode(log_mel, torch.tensor([log_mel.shape[-1]]))
    prequant = tokenizer.prequant(hidden)
    tokens = tokenizer.tokenize(clips[name])

    golden.check(FAMILY, f"{name}.log_mel", log_mel)
    golden.check(FAMILY, f"{name}.hidden_first8", hidden[:, :8])
    golden.check(FAMILY, f"{name}.hidden_mean", hidden.mean(1))
    golden.check(FAMILY, f"{name}.prequant", prequant)
    golden.check_codes(FAMILY, f"{name}.tokens", tokens, prequant)
    golden.check(FAMILY, f"{name}.token_len", torch.tensor([tokens.shape[1]]))


def test_a_clip_cut_to_sixty_tokens_is_cut_before_it_is_heard(
    tokenizer: S3Tokenizer, clips: dict[str, Tensor], rounded: list[Tensor], golden: Any
) -> None:
    tokens = tokenizer.tokenize(clips["a"], max_tokens=60)

    golden.check_codes(FAMILY, "a.tokens_max60", tokens, rounded[0])
    golden.check(FAMILY, "a.token_len_max60", torch.tensor([tokens.shape[1]]))


def test_a_padded_batch_is_the_reference_s_up_to_each_length(
    tokenizer: S3Tokenizer, clips: dict[str, Tensor], rounded: list[Tensor], golden: Any
) -> None:
    mels = [tokenizer.log_mel(clips[name])[0].T for name in CLIPS]
    padded = pad_sequence(mels, batch_first=True).transpose(1, 2)
    tokens, lengths = tokenizer(padded, torch.tensor([len(mel) for mel in mels]))

    recorded = golden.family(FAMILY)["batch.tokens"]
    past = torch.arange(tokens.shape[1]) >= lengths[:, None]
    golden.check(FAMILY, "batch.token_len", lengths)
    golden.check_codes(FAMILY, "batch.tokens", tokens.where(~past, recorded), rounded[0])


def test_a_long_clip_is_heard_through_overlapping_windows(
    tokenizer: S3Tokenizer, clips: dict[str, Tensor], golden: Any
) -> None:
    how = golden.index["families"][FAMILY]["tensors"]["long34s.tokens"]["how"]
    repeats = re.search(r"tile\(a, *(\d+)\)", how)
    assert repeats is not None
    clip = clips["a"].tile(1, int(repeats[1]))[:, : 34 * 16000]
    tokens = tokenizer.tokenize(clip)

    golden.check(FAMILY, "long34s.token_len", torch.tensor([tokens.shape[1]]))
    expected = golden.family(FAMILY)["long34s.tokens"]
    # What the windows overlap is rounded twice, so a tie cannot be looked up: two at most.
    assert int((tokens != expected).sum()) <= 2
