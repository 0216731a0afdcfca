"""Streaming S3Gen: the same audio as rendered whole, chunk by chunk, at a bounded cost.

A chunk is rendered from the voice's prompt, some tokens before it, its own tokens and a few
after it. What must not jump at a seam is carried in `StreamState`: the mel and the pitch just
heard, the phases of the harmonics, and a foretaste of the next samples to fade over. Noise is a
function of the absolute frame, so that whoever needs a frame again finds the same noise.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.model import S3Gen, onset_fade

FRAMES_PER_TOKEN = 2


class FrameNoise(Protocol):
    """All that is random in one utterance, addressed by frame."""

    def mel(self, start: int, stop: int) -> Tensor:
        """Unit normal (1, bins, stop - start); frame 0 is the first token's, the prompt's are below."""

    def source(self, start: int, stop: int) -> Tensor:
        """Unit normal (1, harmonics, samples of those frames); frame 0 is the first one heard."""

    def phases(self) -> Tensor:
        """The angles (1, harmonics, 1) before the first sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How much of the neighbourhood a chunk is rendered with: quality against cost."""

    left_tokens: int = 50  # the flow hears that much of the utterance before the chunk
    right_tokens: int = 3  # and that much after it; the last ones come out only roughly
    vocoder_frames: int = 16  # likewise the vocoder; its convolutions reach about 12
    overlap_s: float = 0.01  # of the seam, faded from the foretaste to the chunk
    heard_is_known: bool = True  # the flow is told the mel just heard, as it is told the prompt's

    @property
    def kept_frames(self) -> int:
        """Mel frames carried from chunk to chunk."""
        return max(FRAMES_PER_TOKEN * self.left_tokens, self.vocoder_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """Where the stream stands after `tokens` tokens and `frames` frames. A value: never changed."""

    tokens: int
    frames: int
    mel: Tensor  # (1, bins, n) the last frames heard, `kept_frames` at most
    f0: Tensor  # (1, m) their pitch, for the last `vocoder_frames` at most
    phases: Tensor  # (1, harmonics, 1) before the first frame of `f0`
    foretaste: Tensor  # (1, overlap) the next samples as rendered with the chunk before

    def trimmed(self, settings: StreamSettings, s3gen: S3Gen) -> "StreamState":
        """Without what lies too far back to be needed again."""
        gone = max(0, self.f0.shape[-1] - settings.vocoder_frames)
        return replace(
            self,
            mel=self.mel[..., max(0, self.mel.shape[-1] - settings.kept_frames) :],
            f0=self.f0[:, gone:],
            phases=s3gen.mel2wav.advance(self.f0[:, :gone], self.phases) % (2 * math.pi),
            foretaste=self.foretaste[:, : round(settings.overlap_s * s3gen.sample_rate_hz)],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceInput:
    """What stays the same over an utterance."""

    conditioning: S3GenConditioning
    noise: FrameNoise
    settings: StreamSettings = StreamSettings()

    @property
    def prompt_frames(self) -> int:
        """Mel frames of the prompt's tokens."""
        return FRAMES_PER_TOKEN * self.conditioning.prompt_tokens.shape[1]

    @property
    def lost_frames(self) -> int:
        """Frames of the utterance that an odd prompt covers: 0 or 1, see `embed_reference`."""
        return self.conditioning.prompt_mel.shape[1] - self.prompt_frames


def start_stream(s3gen: S3Gen, noise: FrameNoise) -> StreamState:
    """The state before the first chunk."""
    phases = noise.phases()
    nothing = phases.new_zeros
    return StreamState(
        tokens=0,
        frames=0,
        mel=nothing(1, s3gen.config.flow.mel_bins, 0),
        f0=nothing(1, 0),
        phases=phases,
        foretaste=nothing(1, 0),
    )


@torch.inference_mode()
def stream_chunk(
    s3gen: S3Gen,
    tokens: Tensor,
    utterance: UtteranceInput,
    state: StreamState,
    *,
    end: int,
    is_last: bool,
) -> tuple[Tensor, StreamState]:
    """The samples (n,) of `tokens[:, state.tokens:end]`, and the state after them.

    `tokens` (1, T) are the utterance's from its start; those past `end` are the look-ahead, of
    which `right_tokens` are used. The last chunk must end where tokens end.
    """
    assert not is_last or end == tokens.shape[1], "the last chunk takes every token"
    assert end > state.tokens, "a chunk has at least one token"
    first = max(0, state.tokens - utterance.settings.left_tokens)
    window = tokens[:, first : end + utterance.settings.right_tokens]
    fresh = _window_mel(s3gen, window, first, utterance, state)
    frames = FRAMES_PER_TOKEN * end - utterance.lost_frames - state.frames
    samples, after = _sound(s3gen, fresh[..., :frames], fresh[..., frames:], utterance.noise, state)
    return samples, replace(after.trimmed(utterance.settings, s3gen), tokens=end)


def _window_mel(
    s3gen: S3Gen, tokens: Tensor, first: int, utterance: UtteranceInput, state: StreamState
) -> Tensor:
    """The mel (1, bins, F) from the first frame not heard yet to the last of the tokens.

    `tokens` are the utterance's from `first` on.
    """
    flow, voice, prompt = s3gen.flow, utterance.conditioning, utterance.prompt_frames
    mu = flow.encode(torch.cat([voice.prompt_tokens, tokens], dim=1), None, voice.x_vector)
    news = prompt + utterance.lost_frames + state.frames - FRAMES_PER_TOKEN * first
    condition = torch.zeros_like(mu)
    known = prompt if first > 0 else prompt + utterance.lost_frames
    condition[..., :known] = voice.prompt_mel.transpose(1, 2)[..., :known]
    if utterance.settings.heard_is_known:
        heard = min(state.mel.shape[-1], news - prompt)
        condition[..., news - heard : news] = state.mel[..., state.mel.shape[-1] - heard :]
    drawn: Tensor | None = None
    if flow.config.solver != "regression":
        start = FRAMES_PER_TOKEN * first
        stop = start + mu.shape[-1] - prompt
        noise = utterance.noise
        drawn = torch.cat([noise.mel(-prompt, 0), noise.mel(start, stop)], dim=-1).to(mu)
    return flow.solve(mu, voice.x_vector, condition, drawn)[..., news:]


def _sound(
    s3gen: S3Gen, mel: Tensor, following: Tensor, noise: FrameNoise, state: StreamState
) -> tuple[Tensor, StreamState]:
    """Samples (n,) of `mel`; `following` is what comes after it, as far as known."""
    vocoder = s3gen.mel2wav
    per_frame = vocoder.config.samples_per_frame
    behind, frames = state.f0.shape[-1], mel.shape[-1]
    before = state.mel[..., state.mel.shape[-1] - behind :]
    around = torch.cat([before, mel, following], dim=-1)
    f0 = vocoder.pitch(around)
    f0[:, :behind] = state.f0  # as it was heard, or the phase would not meet
    start = state.frames - behind
    drawn = noise.source(start, start + around.shape[-1]).to(mel)
    wav = vocoder.decode(around, vocoder.source(f0, state.phases, drawn))[0, behind * per_frame :]
    wav = _onset(wav, state.frames * per_frame, s3gen)
    samples, foretaste = wav[: frames * per_frame], wav[frames * per_frame :]
    samples = _meet(state.foretaste[0], samples)
    after = replace(
        state,
        frames=state.frames + frames,
        mel=torch.cat([state.mel, mel], dim=-1),
        f0=f0[:, : behind + frames],
        foretaste=foretaste[None],
    )
    return samples, after


def _onset(wav: Tensor, start: int, s3gen: S3Gen) -> Tensor:
    """Fade in what lies at the beginning of the utterance; `start` is the first sample's place."""
    gain = onset_fade(s3gen.sample_rate_hz).to(wav)[start : start + len(wav)]
    return wav * functional.pad(gain, (0, len(wav) - len(gain)), value=1.0)


def _meet(foretaste: Tensor, samples: Tensor) -> Tensor:
    """Fade from the foretaste into the samples that take its place."""
    n = min(len(foretaste), len(samples))
    rise = (torch.arange(n, device=samples.device) + 0.5) / max(n, 1)
    return torch.cat([foretaste[:n] * (1 - rise) + samples[:n] * rise, samples[n:]])
