"""The flow: speech tokens to mel, by three solvers over one set of modules.

`cfm` is conditional flow matching (arXiv:2210.02747) with classifier-free guidance, `meanflow`
takes steps of average velocity (arXiv:2505.13447), `regression` corrects the encoder's guess
once. Mel frames run at twice the token rate.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.s3gen.config import FlowConfig
from chatterbox.models.s3gen.encoder import Encoder
from chatterbox.models.s3gen.estimator import Estimator


def cosine_times(steps: int, device: torch.device | str = "cpu") -> Tensor:
    """The ends of `steps` Euler steps, small ones first: (steps + 1,) from 0 to 1."""
    return 1 - torch.cos(torch.linspace(0, 1, steps + 1, device=device) * 0.5 * math.pi)


class Flow(nn.Module):
    """Tokens, a voice and noise to log mel. All batches are padded at the end."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
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
        self, tokens: Tensor, lengths: Tensor | None = None, x_vector: Tensor | None = None
    ) -> Tensor:
        """What the encoder makes of tokens (B, T): (B, 2T, width)."""
        mask: Tensor | None = None
        x = self.input_embedding(tokens)
        if self.speaker_to_encoder is not None:
            assert x_vector is not None, "this flow's encoder hears the speaker"
            x = x + self.speaker_to_encoder(functional.normalize(x_vector))[:, None]
        if lengths is not None:
            mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
            x = x * mask[..., None]
        features: Tensor = self.encoder(x, mask)
        return features

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
        steps = steps or self.config.steps
        if self.config.solver == "regression":
            now = mu.new_zeros(mu.shape[0])
            mel: Tensor = mu + self.estimator(torch.zeros_like(mu), context, now, mask=mask)
            return mel
        assert noise is not None, f"solver {self.config.solver} starts from noise"
        if self.config.solver == "meanflow":
            return self._solve_meanflow(noise, context, mask, steps)
        return self._solve_cfm(noise, context, mask, steps)

    def _solve_cfm(self, x: Tensor, context: Tensor, mask: Tensor | None, steps: int) -> Tensor:
        guidance, B = self.config.guidance, x.shape[0]
        times = cosine_times(steps, x.device)
        both_contexts = torch.cat([context, torch.zeros_like(context)])
        both_masks = None if mask is None else torch.cat([mask, mask])
        for now, then in itertools.pairwise(times):
            both = torch.cat([x, x])
            velocity = self.estimator(both, both_contexts, now.expand(2 * B), mask=both_masks)
            conditional, unconditional = velocity.chunk(2)
            velocity = (1 + guidance) * conditional - guidance * unconditional
            x = x + (then - now) * velocity
        return x

    def _solve_meanflow(
        self, x: Tensor, context: Tensor, mask: Tensor | None, steps: int
    ) -> Tensor:
        times = torch.linspace(0, 1, steps + 1, device=x.device)
        for now, then in itertools.pairwise(times):
            ends = now.expand(x.shape[0]), then.expand(x.shape[0])
            x = x + (then - now) * self.estimator(x, context, *ends, mask=mask)
        return x
