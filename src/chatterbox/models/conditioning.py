"""Conditioning: everything a voice contributes to the models, as named tensors."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from chatterbox.models.transfer import to_device


@dataclass(frozen=True, slots=True, kw_only=True)
class T3Conditioning:
    """What T3 hears of a voice. Batch is 1; tokens may be empty where a family allows it."""

    speaker_embedding: Tensor  # (1, 256) float32, unit norm, from VoiceEncoder
    prompt_tokens: Tensor  # (1, n) int64 speech tokens of the reference
    exaggeration: float = 0.5  # [0, 2]; families without an emotion input ignore it

    def to(self, device: torch.device) -> "T3Conditioning":
        """The same with every tensor on `device`."""
        return replace(
            self,
            speaker_embedding=to_device(self.speaker_embedding, device),
            prompt_tokens=to_device(self.prompt_tokens, device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3GenConditioning:
    """What S3Gen hears of a voice. Mel frames run at twice the token rate."""

    prompt_tokens: Tensor  # (1, n) int64
    prompt_mel: Tensor  # (1, 2n or 2n + 1, mel bins) float32, log magnitude
    x_vector: Tensor  # (1, 192) float32; of tiny (1, 256), the speaker embedding

    def to(self, device: torch.device) -> "S3GenConditioning":
        """The same with every tensor on `device`."""
        return S3GenConditioning(
            prompt_tokens=to_device(self.prompt_tokens, device),
            prompt_mel=to_device(self.prompt_mel, device),
            x_vector=to_device(self.x_vector, device),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """One voice for one model family, on one device."""

    t3: T3Conditioning
    s3gen: S3GenConditioning

    def to(self, device: torch.device) -> "Conditioning":
        """The same with every tensor on `device`."""
        return Conditioning(t3=self.t3.to(device), s3gen=self.s3gen.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by stable names, as a voice's safetensors file keeps them."""
        return {
            "t3.speaker_embedding": self.t3.speaker_embedding,
            "t3.prompt_tokens": self.t3.prompt_tokens,
            "s3gen.prompt_tokens": self.s3gen.prompt_tokens,
            "s3gen.prompt_mel": self.s3gen.prompt_mel,
            "s3gen.x_vector": self.s3gen.x_vector,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "Conditioning":
        """The inverse of `tensors`; raises KeyError for a name that is missing."""
        return cls(
            t3=T3Conditioning(
                speaker_embedding=tensors["t3.speaker_embedding"].float(),
                prompt_tokens=tensors["t3.prompt_tokens"].long(),
            ),
            s3gen=S3GenConditioning(
                prompt_tokens=tensors["s3gen.prompt_tokens"].long(),
                prompt_mel=tensors["s3gen.prompt_mel"].float(),
                x_vector=tensors["s3gen.x_vector"].float(),
            ),
        )
