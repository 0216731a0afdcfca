"""S3Gen: speech tokens and a voice to audio, and a reference clip to what it needs of a voice.

It holds four networks under the official names: the S3 tokenizer and CAM++ listen to the
reference, the flow turns tokens into mel, the vocoder turns mel into samples at 24 kHz.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.audio import resample
from chatterbox.audio.mel import s3gen_log_mel, x_vector_features
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.precision import Precision, vocoder_dtype
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.flow import Flow
from chatterbox.models.s3gen.speaker import SpeakerEncoder
from chatterbox.models.s3gen.vocoder import Vocoder
from chatterbox.models.s3tokenizer.model import S3Tokenizer

_TOKENIZER_HZ = 16000
_PREPARED_REACH = 512  # tokens: a prompt of ten seconds, the window and the largest chunk fit
_ONSET_SILENCE_S = 0.02  # of an utterance is muted, and as much faded in: the prompt's echo


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderNoise:
    """All that is random between tokens and samples, drawn beforehand."""

    flow: Tensor | None  # (B or 1, bins, prompt + speech frames); None for a regression flow
    phases: Tensor  # (B or 1, harmonics, 1), radians
    source: Tensor  # (B or 1, harmonics, samples)


def onset_fade(sample_rate_hz: int) -> Tensor:
    """The gain over the first 40 ms of an utterance: silence, then half a cosine; (n,)."""
    silent = int(sample_rate_hz * _ONSET_SILENCE_S)
    rise = (torch.cos(torch.linspace(math.pi, 0, silent, device="cpu")) + 1) / 2
    return torch.cat([torch.zeros(silent, device="cpu"), rise])


class S3Gen(nn.Module):
    """Batches are padded at the end and share one voice. Inference only but for the parts."""

    _fade: Tensor

    def __init__(self, config: S3GenConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = S3Tokenizer(config.tokenizer)
        self.speaker_encoder = (
            None
            if config.speaker_encoder is None
            else SpeakerEncoder(config.speaker_encoder, config.flow.x_vector)
        )
        self.flow = Flow(config.flow)
        self.mel2wav = Vocoder(config.vocoder)
        self.register_buffer("_fade", onset_fade(config.vocoder.sample_rate_hz), persistent=False)

    @property
    def sample_rate_hz(self) -> int:
        return self.config.vocoder.sample_rate_hz

    @property
    def fade(self) -> Tensor:
        """`onset_fade`, on the model's device."""
        return self._fade

    def prepare(self, precision: Precision = "fp32") -> None:
        """Convert, and compute what depends on the weights alone once, where they are.

        For inference only. Raises ConfigError where the device cannot compute so.
        """
        self.mel2wav.fold_weight_norm()
        self.mel2wav.convert(vocoder_dtype(precision, self._fade.device))
        self.flow.prepare(_PREPARED_REACH, precision)

    @torch.inference_mode()
    def embed_reference(
        self, wav: Tensor, sample_rate_hz: int, x_vector: Tensor | None = None
    ) -> S3GenConditioning:
        """A reference clip (1, n), best 3 to 10 s -> what S3Gen hears of its voice.

        `x_vector` (1, x) must be given where the family has no speaker encoder, and only there.
        An odd number of mel frames leaves one more than twice the tokens, which costs the
        first generated frame; the official models sound so.
        """
        assert (x_vector is None) == (self.speaker_encoder is not None)
        config = self.config.vocoder
        at_output_rate = resample.sinc(wav, sample_rate_hz, config.sample_rate_hz)
        mel = s3gen_log_mel(at_output_rate, config.sample_rate_hz, config.mel_bins)
        wav16k = resample.sinc(wav, sample_rate_hz, _TOKENIZER_HZ)
        tokens = self.tokenizer.tokenize(wav16k)[:, : mel.shape[-1] // 2]
        if self.speaker_encoder is not None:
            x_vector = self.speaker_encoder(x_vector_features(wav16k))
        assert x_vector is not None
        return S3GenConditioning(
            prompt_tokens=tokens, prompt_mel=mel.transpose(1, 2), x_vector=x_vector
        )

    def output_frames(self, tokens: int, conditioning: S3GenConditioning) -> int:
        """How many mel frames `tokens` speech tokens become."""
        total = 2 * (conditioning.prompt_tokens.shape[1] + tokens)
        return total - conditioning.prompt_mel.shape[1]

    def draw_noise(
        self,
        tokens: int,
        conditioning: S3GenConditioning,
        *,
        batch: int = 1,
        generator: torch.Generator | None = None,
    ) -> RenderNoise:
        """The noise for rows of `tokens` speech tokens, on the model's device."""
        frames = self.output_frames(tokens, conditioning)
        flow: Tensor | None = None
        if self.config.flow.solver != "regression":
            shape = batch, self.config.flow.mel_bins, frames + conditioning.prompt_mel.shape[1]
            flow = torch.randn(*shape, generator=generator, device=self._fade.device)
        phases, source = self.mel2wav.draw(frames, batch, generator)
        return RenderNoise(flow=flow, phases=phases, source=source)

    def mel(
        self,
        tokens: Tensor,
        conditioning: S3GenConditioning,
        noise: Tensor | None,
        *,
        lengths: Tensor | None = None,
        steps: int | None = None,
        final: bool = True,
    ) -> Tensor:
        """Speech tokens (B, T) -> the mel they become (B, bins, about 2T), without the prompt.

        `noise` (B or 1, bins, prompt and speech frames); `lengths` (B,) in tokens. With
        `final` false more tokens are to come, and the frames that wait for them are left out;
        the noise may still cover them.
        """
        B, prompt = tokens.shape[0], conditioning.prompt_tokens
        sequence = torch.cat([prompt.expand(B, -1), tokens], dim=1)
        if lengths is not None:
            lengths = lengths + prompt.shape[1]
        x_vector = conditioning.x_vector.expand(B, -1)
        mu = self.flow.encode(sequence, lengths, x_vector)
        if not final:
            mu = mu[..., : mu.shape[-1] - 2 * self.config.flow.encoder.lookahead]
        frames, known = mu.shape[-1], conditioning.prompt_mel.shape[1]
        mask: Tensor | None = None
        if lengths is not None:
            mask = torch.arange(frames, device=mu.device) < 2 * lengths[:, None]
            mask = mask[:, None]
        prompt_mel = conditioning.prompt_mel.transpose(1, 2)[..., :frames].expand(B, -1, -1)
        condition = functional.pad(prompt_mel, (0, frames - prompt_mel.shape[-1]))
        if noise is not None:
            noise = noise[..., :frames].expand(B, -1, -1)
        mel = self.flow.solve(mu, x_vector, condition, noise, mask=mask, steps=steps)
        return mel[..., known:]

    def sound(self, mel: Tensor, noise: RenderNoise, lengths: Tensor | None = None) -> Tensor:
        """mel (B, bins, F) -> a whole utterance's samples (B, 480 F), its onset faded in."""
        f0 = self.mel2wav.pitch(mel, lengths)
        wav = self.mel2wav.decode(mel, self.mel2wav.source(f0, noise.phases, noise.source), lengths)
        gain = functional.pad(self._fade, (0, max(0, wav.shape[-1] - len(self._fade))), value=1.0)
        return wav * gain[: wav.shape[-1]]

    @torch.inference_mode()
    def render(
        self,
        tokens: Tensor,
        conditioning: S3GenConditioning,
        noise: RenderNoise,
        *,
        lengths: Tensor | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Whole utterances: speech tokens (B, T) -> samples (B, about 960 T) in [-.99, .99].

        `lengths` (B,) in tokens; a row sounds as it would alone, given its noise. Samples past
        a row's own mean nothing.
        """
        mel = self.mel(tokens, conditioning, noise.flow, lengths=lengths, steps=steps)
        if lengths is not None:
            lengths = lengths * 2 + self.output_frames(0, conditioning)
        return self.sound(mel, noise, lengths)
