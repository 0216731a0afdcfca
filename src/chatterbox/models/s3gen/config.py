"""Sizes and settings of S3Gen, from speech tokens to the waveform; torch-free."""

import math
from dataclasses import dataclass
from typing import Literal

from chatterbox.models.s3tokenizer.config import S3TokenizerConfig

Solver = Literal["cfm", "meanflow", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerEncoderConfig:
    """CAM++ (arXiv:2303.00332): filter-bank energies to an x-vector."""

    feature_bins: int = 80
    head_channels: int = 32
    initial_channels: int = 128
    growth: int = 32
    bottleneck: int = 4  # times growth
    block_layers: tuple[int, ...] = (12, 24, 16)
    block_dilations: tuple[int, ...] = (1, 2, 2)
    segment_frames: int = 100  # of the local context in the attention mask


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The up-sampling conformer: tokens at 25 Hz to features at 50 Hz."""

    width: int = 512
    heads: int = 8
    feed_forward: int = 2048
    layers: int = 6  # before the up-sampling
    up_layers: int = 4  # after it
    lookahead: int = 3  # tokens that the last output waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorConfig:
    """The velocity network of the flow."""

    channels: int = 256
    mid_blocks: int = 12
    transformers: int = 4  # transformer blocks after each residual block
    heads: int = 8
    head_dim: int = 64
    time_ratio: int = 4  # width of the time embedding, times channels
    feed_forward_ratio: int = 4
    zero_output: bool = False  # start training with a silent final projection


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowConfig:
    """Tokens to mel.

    `cfm` follows the velocity from noise in ten cosine steps under classifier-free guidance;
    `meanflow` takes two average-velocity steps without guidance; `regression` takes one step
    from nothing, which corrects the encoder's own guess at the mel.
    """

    codes: int = 6561
    mel_bins: int = 80
    x_vector: int = 192
    encoder: EncoderConfig = EncoderConfig()
    estimator: EstimatorConfig = EstimatorConfig()
    solver: Solver = "cfm"
    steps: int = 10
    guidance: float = 0.7  # weight of the unconditional velocity that is subtracted
    speaker_in_encoder: bool = False  # the guess at the mel knows the speaker, too


@dataclass(frozen=True, slots=True, kw_only=True)
class VocoderConfig:
    """HiFT (arXiv:2309.09493): mel to waveform by a harmonic source and an inverse STFT."""

    sample_rate_hz: int = 24000
    mel_bins: int = 80
    channels: int = 512
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernels: tuple[int, ...] = (16, 11, 7)
    n_fft: int = 16
    hop: int = 4
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    source_kernels: tuple[int, ...] = (7, 7, 11)  # one residual block per up-sampling
    dilations: tuple[int, ...] = (1, 3, 5)
    overtones: int = 8  # beside the fundamental
    sine_amplitude: float = 0.1
    voiced_noise: float = 0.003  # unvoiced noise is a third of the sine amplitude
    voiced_above_hz: float = 10.0
    slope: float = 0.1  # of the leaky rectifiers between the up-samplings
    peak: float = 0.99
    pitch_channels: int = 512
    pitch_layers: int = 5

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates) * self.hop


@dataclass(frozen=True, slots=True, kw_only=True)
class S3GenConfig:
    """Everything that tells one S3Gen from another.

    Without a speaker encoder the x-vector is the VoiceEncoder's embedding of the voice.
    """

    tokenizer: S3TokenizerConfig
    speaker_encoder: SpeakerEncoderConfig | None
    flow: FlowConfig
    vocoder: VocoderConfig

    @classmethod
    def standard(cls) -> "S3GenConfig":
        """The official s3gen: english, multilingual and voice conversion."""
        return cls(
            tokenizer=S3TokenizerConfig.v2(),
            speaker_encoder=SpeakerEncoderConfig(),
            flow=FlowConfig(),
            vocoder=VocoderConfig(),
        )

    @classmethod
    def meanflow(cls) -> "S3GenConfig":
        """The official s3gen_meanflow: turbo and nano."""
        return cls(
            tokenizer=S3TokenizerConfig.v2(),
            speaker_encoder=SpeakerEncoderConfig(),
            flow=FlowConfig(solver="meanflow", steps=2),
            vocoder=VocoderConfig(),
        )

    @classmethod
    def tiny(cls) -> "S3GenConfig":
        """The bundled voice's."""
        tokenizer = S3TokenizerConfig.tiny()
        flow = FlowConfig(
            codes=tokenizer.codes,
            x_vector=256,
            encoder=EncoderConfig(width=192, heads=3, feed_forward=576, layers=3, up_layers=2),
            estimator=EstimatorConfig(
                channels=96, mid_blocks=3, transformers=1, heads=3, head_dim=32, zero_output=True
            ),
            solver="regression",
            steps=1,
            speaker_in_encoder=True,
        )
        vocoder = VocoderConfig(
            channels=192,
            upsample_rates=(5, 4),
            upsample_kernels=(11, 8),
            n_fft=96,
            hop=24,
            resblock_kernels=(3, 7),
            source_kernels=(7, 7),
            pitch_channels=128,
        )
        return cls(tokenizer=tokenizer, speaker_encoder=None, flow=flow, vocoder=vocoder)
