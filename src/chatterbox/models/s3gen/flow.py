"""The flow: speech tokens to mel, by three solvers over one set of modules.

`cfm` is conditional flow matching (arXiv:2210.02747) with classifier-free guidance, `meanflow`
takes steps of average velocity (arXiv:2505.13447), `regression` corrects the encoder's guess
once. Mel frames run at twice the token rate.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.layers.linear import floating, integer
from chatterbox.models.layers.quantized import MakeLinear
from chatterbox.models.precision import Precision, flow_dtype
from chatterbox.models.s3gen.config import FlowConfig
from chatterbox.models.s3gen.encoder import Encoder
from chatterbox.models.s3gen.estimator import Estimator
from chatterbox.models.s3gen.memory import Extent, Memory, Recall


def cosine_times(steps: int, device: torch.device | str = "cpu") -> Tensor:
    """The ends of `steps` Euler steps, small ones first: (steps + 1,) from 0 to 1."""
    return 1 - torch.cos(torch.linspace(0, 1, steps + 1, device=device) * 0.5 * math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMemory:
    """What a flow remembers of one row, or of a batch of rows (see `Memory`)."""

    low: Memory  # the encoder before its up-sampling, in tokens
    high: Memory  # and after it, in frames
    steps: tuple[Memory, ...]  # the estimator at each step of the solver, in frames

    @property
    def parts(self) -> tuple[Memory, ...]:
        return (self.low, self.high, *self.steps)

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    @classmethod
    def _of(cls, parts: Iterable[Memory]) -> "FlowMemory":
        low, high, *steps = parts
        return cls(low=low, high=high, steps=tuple(steps))

    def recent(self, tokens: int) -> "FlowMemory":
        """The same with a window of so many tokens."""
        low, high, *steps = self.parts
        rest = (part.recent(2 * tokens) for part in (high, *steps))
        return FlowMemory._of([low.recent(tokens), *rest])

    @classmethod
    def stack(cls, rows: Sequence["FlowMemory"]) -> "FlowMemory":
        """Rows of one window as a batch."""
        if all(row is rows[0] for row in rows):  # one voice's: nothing is copied
            return cls._of(part.spread(len(rows)) for part in rows[0].parts)
        return cls._of(Memory.stack(parts) for parts in zip(*(r.parts for r in rows), strict=True))

    def repeated(self, batch: int) -> "FlowMemory":
        """A batch of this one row, each with storage of its own."""
        return FlowMemory._of(part.spread(batch).copied(batch) for part in self.parts)

    def copied(self, rows: int) -> "FlowMemory":
        """The first rows of a batch, in storage of their own."""
        return FlowMemory._of(part.copied(rows) for part in self.parts)

    def unstack(self) -> list["FlowMemory"]:
        """The rows of a batch."""
        by_part = [part.unstack() for part in self.parts]
        return [FlowMemory._of(parts) for parts in zip(*by_part, strict=True)]


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the solver."""

    size: Tensor  # ()
    offsets: list[Tensor]  # see `Estimator.offsets`


class Flow(nn.Module):
    """Tokens, a voice and noise to log mel. All batches are padded at the end."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = torch.float32  # of encoder and estimator
        self._prepared: dict[int, list[_Step]] = {}  # by their number
        width = config.encoder.width
        self.input_embedding = nn.Embedding(config.codes, width)
        self.spk_embed_affine_layer = nn.Linear(config.x_vector, config.mel_bins)
        self.encoder = Encoder(config.encoder)
        self.encoder_proj = nn.Linear(width, config.mel_bins)
        estimator = Estimator(
            config.estimator, config.mel_bins, end_time=config.solver == "meanflow"
        )
        self.decoder = nn.ModuleDict({"estimator": estimator})
        self.speaker_to_encoder = (
            nn.Linear(config.x_vector, width) if config.speaker_in_encoder else None
        )

    @property
    def estimator(self) -> Estimator:
        estimator = self.decoder["estimator"]
        assert isinstance(estimator, Estimator)
        return estimator

    def speaker(self, x_vector: Tensor) -> Tensor:
        """x-vector (B, config.x_vector) of any norm -> the estimator's speaker (B, bins)."""
        projected: Tensor = self.spk_embed_affine_layer(functional.normalize(x_vector))
        return projected

    def features(
        self,
        tokens: Tensor,
        lengths: Tensor | None = None,
        x_vector: Tensor | None = None,
        recall: tuple[Recall, Recall] | None = None,
    ) -> Tensor:
        """What the encoder makes of tokens (B, T): (B, 2T, width)."""
        mask: Tensor | None = None
        x = self.input_embedding(tokens)
        if self.speaker_to_encoder is not None:
            assert x_vector is not None, "this flow's encoder hears the speaker"
            x = x + self.speaker_to_encoder(functional.normalize(x_vector))[:, None]
        if lengths is not None:
            mask = _mask(lengths, tokens.shape[1])
            x = x * mask[..., None]
        features: Tensor = self.encoder(x.to(self.dtype), mask, recall)
        return features.float()

    def encode(
        self, tokens: Tensor, lengths: Tensor | None = None, x_vector: Tensor | None = None
    ) -> Tensor:
        """The guess at the mel, mu: tokens (B, T), lengths (B,) -> (B, bins, 2T).

        The last `config.encoder.lookahead` tokens of an unfinished sequence (twice as many
        frames) are not yet what they will be.
        """
        mu: Tensor = self.encoder_proj(self.features(tokens, lengths, x_vector))
        return mu.transpose(1, 2)

    def context(self, mu: Tensor, speaker: Tensor, condition: Tensor) -> Tensor:
        """What the estimator knows: mu (B, bins, F), speaker (B, bins), condition like mu."""
        return torch.cat([mu, speaker[..., None].expand_as(mu), condition], dim=1)

    def solve(
        self,
        mu: Tensor,
        x_vector: Tensor,
        condition: Tensor,
        noise: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """mu, condition (B, bins, F) and noise like them -> mel (B, bins, F).

        `condition` holds the prompt's mel and zeros where the mel is to be made; `mask`
        (B, 1, F) is 0 on padding; `steps` defaults to the family's. Regression has no noise.
        """
        context = self.context(mu, self.speaker(x_vector), condition)
        count = 1 if self.config.solver == "regression" else steps or self.config.steps
        return self._follow(mu, context, noise, mask, [None] * count)

    def _follow(
        self,
        mu: Tensor,
        context: Tensor,
        noise: Tensor | None,
        mask: Tensor | None,
        recalls: Sequence[Recall | None],
    ) -> Tensor:
        """Take the solver's steps, one for each of `recalls`; the frames follow what they hold."""
        steps = self._steps(len(recalls), mu)
        if self.config.solver == "regression":
            (step,) = steps
            nothing = torch.zeros_like(mu)
            return mu + self.estimator.velocity(nothing, context, step.offsets, mask, recalls[0])
        assert noise is not None, f"solver {self.config.solver} starts from noise"
        x = noise
        guided = self.config.solver == "cfm"
        if guided:  # the second row of each pair knows nothing of text and voice
            context = torch.stack([context, torch.zeros_like(context)], dim=1).flatten(0, 1)
            mask = None if mask is None else mask.repeat_interleave(2, dim=0)
        for step, recall in zip(steps, recalls, strict=True):
            rows = x.repeat_interleave(2, dim=0) if guided else x
            velocity = self.estimator.velocity(rows, context, step.offsets, mask, recall)
            if guided:
                velocity = self._away_from_the_unconditional(velocity)
            x = x + step.size * velocity
        return x

    def _steps(self, count: int, like: Tensor) -> "list[_Step]":
        """The solver's steps from 0 to 1; those of `prepare` are at hand."""
        if count in self._prepared:
            return self._prepared[count]
        if self.config.solver == "cfm":
            times = cosine_times(count, like.device)
        else:
            times = torch.linspace(0, 1, count + 1, device=like.device)
        averaged = self.config.solver == "meanflow"
        return [
            _Step(
                size=then - now,
                offsets=self.estimator.offsets(now[None], then[None] if averaged else None),
            )
            for now, then in itertools.pairwise(times)
        ]

    def _away_from_the_unconditional(self, velocity: Tensor) -> Tensor:
        """Classifier-free guidance over pairs of rows: (2B, bins, F) -> (B, bins, F)."""
        guidance = self.config.guidance
        conditional, unconditional = velocity.view(-1, 2, *velocity.shape[1:]).unbind(1)
        return conditional + guidance * (conditional - unconditional)

    def blank_memory(self, tokens: int) -> FlowMemory:
        """One row's memory before anything was heard, with a window of so many tokens."""
        like = self.encoder_proj.weight.new_empty(0, dtype=self.dtype)
        low, high = self.encoder.memory_shapes
        estimator = replace(
            self.estimator.memory_shape, rows=2 if self.config.solver == "cfm" else 1
        )
        return FlowMemory(
            low=Memory.blank(low, tokens, like),
            high=Memory.blank(high, 2 * tokens, like),
            steps=tuple(
                Memory.blank(estimator, 2 * tokens, like) for _ in range(self.config.steps)
            ),
        )

    @torch.inference_mode()
    def prepare(self, reach: int, precision: Precision = "fp32") -> None:
        """Convert, and compute what depends on weights alone once, distances to `reach` tokens.

        For inference: the weights must not change any more. Raises ConfigError.
        """
        count = self.config.steps
        steps = self._steps(count, self.encoder_proj.weight)
        if precision != "int8":
            self.dtype = flow_dtype(precision, self.encoder_proj.weight.device)
            self.encoder.to(self.dtype)
            self.estimator.to(self.dtype)
        make: MakeLinear = _unchanged
        if precision == "int8":
            make = integer
        elif self.dtype == torch.float32:
            make = floating
        self.encoder.convert(make)
        self.estimator.convert(make)
        self.encoder.quicken()
        self.estimator.quicken()
        self.encoder.remember_distances(reach)
        self._prepared = {
            count: [_Step(s.size, [offset.to(self.dtype) for offset in s.offsets]) for s in steps]
        }

    def extend(
        self, news: "News", memory: FlowMemory, prompt: FlowMemory
    ) -> tuple[Tensor, FlowMemory]:
        """Frames that follow what is remembered: mel (B, bins, 2N), and what is remembered then.

        `memory` and `prompt` are batches of B rows; see `News`.
        """
        N, extent = news.tokens.shape[1], news.extent
        frames = extent.scaled(2)

        def recall(kept: Memory, heard: Memory, factor: int) -> Recall:
            where = extent if factor == 1 else frames
            return Recall(kept, heard, where, seen=factor * news.seen, fresh=factor * N)

        low = recall(memory.low, prompt.low, 1)
        high = recall(memory.high, prompt.high, 2)
        steps = [recall(*pair, 2) for pair in zip(memory.steps, prompt.steps, strict=True)]
        lengths = None if extent.even else extent.new
        features = self.features(news.tokens, lengths, news.x_vector, (low, high))
        mu = self.encoder_proj(features).transpose(1, 2)
        context = self.context(mu, self.speaker(news.x_vector), news.condition)
        mask = None if extent.even else _mask(frames.new, 2 * N)[:, None]
        mel = self._follow(mu, context, news.noise, mask, steps)
        after = FlowMemory(
            low=low.memory(), high=high.memory(), steps=tuple(step.memory() for step in steps)
        )
        return mel, after


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What comes in when a flow goes on, for B rows padded at the end to N tokens."""

    tokens: Tensor  # (B, N)
    x_vector: Tensor  # (B, x)
    condition: Tensor  # (B, bins, 2N), the mel where it is known and zeros elsewhere
    noise: Tensor | None  # (B, bins, 2N)
    extent: Extent  # in tokens
    seen: int  # tokens of the window that attention looks at


def _unchanged(layer: nn.Module) -> nn.Module:
    return layer


def _mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size), False past each length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
