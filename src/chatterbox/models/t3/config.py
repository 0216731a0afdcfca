"""The shape of a T3 network: one frozen value per model family."""

from dataclasses import dataclass
from typing import Literal

CONDITIONING_ROOM = 40  # positions before the text: speaker, resampled prompt, emotion


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryScaling:
    """Llama 3.1's stretch of the slow rotary frequencies."""

    factor: float = 8.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class T3Config:
    """Everything that tells one T3 from another.

    `backbone` decides the kind of block: "llama" (RMSNorm, rotary, gated MLP, no biases) or
    "gpt2" (LayerNorm, a learned position per place in the sequence, biases).
    """

    backbone: Literal["llama", "gpt2"]
    layers: int
    dim: int
    heads: int
    mlp_dim: int
    norm_eps: float = 1e-5

    text_vocabulary: int
    start_text: int | None  # None: text ids go in as they are
    stop_text: int | None
    text_positions: int | None  # rows of the learned table, None for no table

    speech_vocabulary: int
    speech_codes: int = 6561  # ids below this are S3 codes; the others are never spoken
    start_speech: int = 6561
    stop_speech: int = 6562
    speech_positions: int | None
    start_repeats: int  # how often the start token stands before the first speech token
    head_bias: bool

    speaker_dim: int = 256
    prompt_tokens: int  # speech tokens of the reference a voice keeps for T3
    perceiver_queries: int | None  # None: the prompt goes in token by token
    perceiver_heads: int = 4
    emotion: bool
    guidance: bool  # trained for classifier-free guidance

    rotary_theta: float = 500_000.0
    rotary_scaling: RotaryScaling | None = None
    unused_embeddings: int = 0  # rows of the backbone's own token table, which nothing reads
    max_positions: int  # conditioning, text and speech together

    def __post_init__(self) -> None:
        assert self.dim % self.heads == 0, "heads must divide the width"
        assert (self.start_text is None) == (self.stop_text is None)
        assert max(self.start_speech, self.stop_speech) < self.speech_vocabulary

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @classmethod
    def english(cls) -> "T3Config":
        """`t3_cfg.safetensors`, 532 M parameters."""
        return _official_llama(text_vocabulary=704)

    @classmethod
    def multilingual(cls) -> "T3Config":
        """`t3_mtl23ls_v2.safetensors` and v3, 536 M parameters."""
        return _official_llama(text_vocabulary=2454)

    @classmethod
    def turbo(cls) -> "T3Config":
        """`t3_turbo_v1.safetensors`, 376 M parameters in use."""
        return _official_gpt2(layers=24, dim=1024, heads=16)

    @classmethod
    def nano(cls) -> "T3Config":
        """`t3_nano_v1.safetensors`, 140 M parameters in use."""
        return _official_gpt2(layers=12, dim=768, heads=12)

    @classmethod
    def tiny(cls) -> "T3Config":
        """The bundled voice: phonemes in, 729 speech codes out, under 6 M parameters."""
        return cls(
            backbone="llama",
            layers=4,
            dim=256,
            heads=4,
            mlp_dim=768,
            text_vocabulary=128,
            start_text=1,
            stop_text=0,
            text_positions=514,
            speech_vocabulary=731,
            speech_codes=729,
            start_speech=729,
            stop_speech=730,
            speech_positions=1028,
            start_repeats=2,
            head_bias=False,
            prompt_tokens=0,
            perceiver_queries=None,
            emotion=True,
            guidance=True,
            rotary_theta=10_000.0,
            max_positions=CONDITIONING_ROOM + 514 + 1028,
        )


def _official_llama(text_vocabulary: int) -> T3Config:
    return T3Config(
        backbone="llama",
        layers=30,
        dim=1024,
        heads=16,
        mlp_dim=4096,
        text_vocabulary=text_vocabulary,
        start_text=255,
        stop_text=0,
        text_positions=2050,
        speech_vocabulary=8194,
        speech_positions=4100,
        start_repeats=2,  # the official generation loop embeds it once more than training did
        head_bias=False,
        prompt_tokens=150,
        perceiver_queries=32,
        emotion=True,
        guidance=True,
        rotary_scaling=RotaryScaling(),
        unused_embeddings=8,
        max_positions=CONDITIONING_ROOM + 2050 + 4100,
    )


def _official_gpt2(layers: int, dim: int, heads: int) -> T3Config:
    return T3Config(
        backbone="gpt2",
        layers=layers,
        dim=dim,
        heads=heads,
        mlp_dim=4 * dim,
        text_vocabulary=50276,
        start_text=None,
        stop_text=None,
        text_positions=None,
        speech_vocabulary=6563,
        speech_positions=None,
        start_repeats=1,
        head_bias=True,
        prompt_tokens=375,
        perceiver_queries=None,
        emotion=False,
        guidance=False,
        max_positions=8196,
    )
