"""Tokens heard stretch by stretch against those of the whole clip, as the reference hears it.

They cannot be equal: the encoder hears all of a clip at once, and so in the reference too a token
depends on how long the clip is. A token has a few digits of three values; nearly all of them agree.
"""

from typing import Any

import numpy as np
import torch

from chatterbox.audio.clip import Clip
from chatterbox.audio.rates import soxr
from chatterbox.audio.stretches import LISTENING_HZ, StretchCutter
from chatterbox.models.bundle import load_models
from chatterbox.models.families import TINY
from chatterbox.models.s3tokenizer.model import S3Tokenizer
from chatterbox.models.s3tokenizer.stream import TokenStream

EQUAL_TOKENS, EQUAL_DIGITS = 0.75, 0.95  # measured: 0.85 to 0.96, and 0.97 to 0.99


def digits(tokens: torch.Tensor, count: int) -> torch.Tensor:
    return torch.stack([tokens // 3**place % 3 for place in range(count)], dim=-1)


def streamed(tokenizer: S3Tokenizer, clip: Clip, size: int) -> torch.Tensor:
    cutter, stream = StretchCutter(LISTENING_HZ), TokenStream(tokenizer)
    stretches = []
    for start in range(0, len(clip), size):
        stretches += cutter.push(Clip(clip.samples[start : start + size], LISTENING_HZ))
    return torch.cat([stream.tokens(each) for each in [*stretches, *cutter.finish()]])


def test_tokens_of_a_stream_are_nearly_those_of_the_whole(speech: Any) -> None:
    tokenizer = load_models(TINY).s3gen.tokenizer
    clip = soxr(speech, LISTENING_HZ)
    whole = tokenizer.tokenize(torch.from_numpy(clip.samples)[None])[0]
    tokens = streamed(tokenizer, clip, 1_234)

    assert torch.equal(tokens, streamed(tokenizer, clip, len(clip)))
    assert len(tokens) == len(whole)
    assert (tokens == whole).float().mean() >= EQUAL_TOKENS
    count = tokenizer.config.digits
    equal = (digits(tokens, count) == digits(whole, count)).float().mean()
    assert equal >= EQUAL_DIGITS


def test_what_fits_into_one_stretch_is_heard_as_a_whole(speech: Any) -> None:
    tokenizer = load_models(TINY).s3gen.tokenizer
    clip = soxr(speech, LISTENING_HZ)
    short = Clip(clip.samples[: int(1.9 * LISTENING_HZ)], LISTENING_HZ)
    whole = tokenizer.tokenize(torch.from_numpy(short.samples)[None])[0]
    assert torch.equal(streamed(tokenizer, short, 777), whole)


def test_quiet_speech_is_heard_as_loud_speech_is(speech: Any) -> None:
    """The bundled tokenizer understands one level only, so a stream is brought to it."""
    tokenizer = load_models(TINY).s3gen.tokenizer
    clip = soxr(speech, LISTENING_HZ)

    def tokens(gain: float) -> torch.Tensor:
        cutter = StretchCutter(LISTENING_HZ)
        stream = TokenStream(tokenizer, level_dbfs=tokenizer.config.level_dbfs)
        stretches = cutter.push(Clip(clip.samples * np.float32(gain), LISTENING_HZ))
        return torch.cat([stream.tokens(each) for each in [*stretches, *cutter.finish()]])

    assert (tokens(0.1) == tokens(1.0)).float().mean() >= 0.9
    plain = [tokenizer.tokenize(torch.from_numpy(clip.samples * np.float32(g))[None])
             for g in (0.1, 1.0)]  # fmt: skip
    assert (plain[0] == plain[1]).float().mean() < 0.5, "or it would not be needed"
