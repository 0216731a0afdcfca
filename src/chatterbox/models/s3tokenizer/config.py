"""Sizes of the S3 speech tokenizer."""

from dataclasses import dataclass

LEVELS = 3  # values of one digit of a code: 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class S3TokenizerConfig:
    """Everything that tells one S3 tokenizer from another; torch-free.

    Log mel comes in at 100 frames a second, tokens leave at 25, for both convolutions halve.
    """

    mel_bins: int
    state: int  # width of the encoder
    heads: int
    layers: int
    mlp_ratio: int = 4
    memory_taps: int = 31  # of the FSMN memory beside every attention
    rotary_theta: float = 10000.0
    digits: int  # of a code, base 3
    window_frames: int = 3000  # longer audio is read through windows of this size
    overlap_frames: int = 400
    level_dbfs: float | None = None  # of speech, where what it hears depends on the level

    @property
    def head_dim(self) -> int:
        return self.state // self.heads

    @property
    def codes(self) -> int:
        """How many different tokens there are."""
        return int(LEVELS**self.digits)

    @classmethod
    def v2(cls) -> "S3TokenizerConfig":
        """The official speech_tokenizer_v2_25hz: 6561 codes."""
        return cls(mel_bins=128, state=1280, heads=20, layers=6, digits=8)

    @classmethod
    def tiny(cls) -> "S3TokenizerConfig":
        """The bundled voice's: 729 codes."""
        return cls(mel_bins=128, state=192, heads=3, layers=3, digits=6, level_dbfs=-24.0)
