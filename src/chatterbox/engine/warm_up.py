"""Warm-up: one short utterance in a voice that does not exist, before the first listener."""

import torch

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.s3gen_runner import S3GenRunner
from chatterbox.engine.sequence import Chunk, Finish, Sequence, Utterance
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.speech import Sampling

_TEXT = "One, two, three."
_PROMPT_TOKENS = 25


def warm_up_t3(models: Models, t3: T3Runner, config: EngineConfig) -> list[int]:
    """Run T3 once, so that libraries load and memory is laid out now; returns what it drew."""
    t3.prepare()
    conditioning = nobody(models)
    sampling = models.family.settle(Sampling(seed=0))
    speaker = t3.speaker(0, sampling, least_tokens=config.first_chunk_tokens + 1)
    text_ids = models.tokenizer.encode(_TEXT, models.family.languages[0])
    tokens = [t3.prefill(speaker, text_ids, conditioning.t3)]
    while len(tokens) < config.first_chunk_tokens:
        tokens += t3.decode([speaker])[0]
    return [token for token in tokens if token is not None]


def warm_up_s3gen(models: Models, s3gen: S3GenRunner, tokens: list[int]) -> None:
    """Let S3Gen say what T3 has drawn, for the same reason."""
    conditioning = nobody(models)
    utterance = Utterance(
        text=_TEXT,
        family=models.family.id,
        voice="nobody",
        language=models.family.languages[0],
        sampling=Sampling(seed=0),
        conditioning=lambda: conditioning,
    )
    sequence = Sequence(utterance=utterance, max_tokens=len(tokens))
    sequence.tokens = tokens
    sequence.finish = Finish.STOPPED
    s3gen.begin(sequence, conditioning.s3gen)
    s3gen.render([Chunk(sequence, 0, len(sequence.tokens), is_last=True)])
    s3gen.forget(sequence)


def nobody(models: Models) -> Conditioning:
    """Conditioning of the right shapes."""
    family, device = models.family, models.device
    return Conditioning(
        t3=T3Conditioning(
            speaker_embedding=torch.full((1, family.t3.speaker_dim), family.t3.speaker_dim**-0.5),
            prompt_tokens=torch.zeros(1, family.t3.prompt_tokens, dtype=torch.int64),
        ),
        s3gen=S3GenConditioning(
            prompt_tokens=torch.zeros(1, _PROMPT_TOKENS, dtype=torch.int64),
            prompt_mel=torch.full((1, 2 * _PROMPT_TOKENS, family.s3gen.flow.mel_bins), -6.0),
            x_vector=torch.ones(1, family.s3gen.flow.x_vector),
        ),
    ).to(device)
