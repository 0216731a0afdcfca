"""Streaming S3Gen: speech chunk by chunk, several streams at once, at a cost that does not grow.

A chunk brings its own tokens and a few after it; all that came before is remembered
(`models.s3gen.memory`), the voice's prompt once for all of its streams. What must not jump at a
seam is carried in `StreamState`: the mel and the pitch just heard, the phases of the harmonics,
and a foretaste of the next samples to fade over. Noise is a function of the absolute frame.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.flow import FlowMemory, News
from chatterbox.models.s3gen.memory import Extent
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.s3gen.vocoder import Heard
from chatterbox.models.transfer import integers, to_device

Sound = Callable[[Heard], tuple[Tensor, Tensor]]
Extend = Callable[[News, FlowMemory, FlowMemory], tuple[Tensor, FlowMemory]]

FRAMES_PER_TOKEN = 2
_LAST_STEP = 16  # frames, to whose multiples the vocoder's last chunk is padded
_PROMPT_SEED = 0  # of the noise under a prompt: one for all streams, or each would hear it anew


class FrameNoise(Protocol):
    """All that is random in one utterance, addressed by frame."""

    def mel(self, start: int, stop: int) -> Tensor:
        """Unit normal (1, bins, stop - start); frame 0 is the first token's."""

    def source(self, start: int, stop: int) -> Tensor:
        """Unit normal (1, harmonics, samples of those frames); frame 0 is the first one heard."""

    def phases(self) -> Tensor:
        """The angles (1, harmonics, 1) before the first sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How much of the neighbourhood a chunk is rendered with: quality against cost."""

    prompt_tokens: int | None = None  # at most so many of the voice's prompt; None: all of it
    window_tokens: int = 50  # of the utterance before the chunk that attention sees
    right_tokens: int = 3  # heard beyond the chunk; the last ones come out only roughly
    vocoder_frames: int = 8  # rendered again before a chunk; what lies before is worth -80 dB
    overlap_s: float = 0.01  # of the seam, faded from the foretaste to the chunk
    resume_tokens: int = 100  # listened to again where a stream goes on elsewhere


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """What S3Gen has heard of a voice; computed once, shared by all of its streams.

    The last tokens of a reference are heard as the speech after them has it. They wait, with
    what is known of their mel, for the first chunk of each stream.
    """

    tokens: int  # heard
    memory: FlowMemory  # its window is what was heard
    x_vector: Tensor  # (1, x)
    waiting_tokens: Tensor  # (w,)
    waiting_mel: Tensor  # (1, bins, 2w, or 2w + 1 where the reference's mel is that much longer)
    waiting_noise: Tensor  # (1, bins, 2w)

    @property
    def size_bytes(self) -> int:
        return self.memory.size_bytes

    @property
    def waiting(self) -> int:
        return len(self.waiting_tokens)

    @property
    def overhang(self) -> int:
        """Frames of the utterance that the reference covers: 0 or 1, see `embed_reference`."""
        return self.waiting_mel.shape[-1] - FRAMES_PER_TOKEN * self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """Where a stream stands after `tokens` tokens and `frames` frames. A value: never changed."""

    tokens: int
    frames: int
    since: int = 0  # the token at which the flow began to listen; not 0 where it was resumed late
    flow: FlowMemory
    mel: Tensor  # (1, bins, m) the last frames heard, `vocoder_frames` at most
    f0: Tensor  # (1, m) their pitch
    phases: Tensor  # (1, harmonics, 1) before the first frame of `f0`
    foretaste: Tensor  # (1, overlap) the next samples as rendered with the chunk before

    @property
    def heard(self) -> int:
        """The tokens that the flow has listened to."""
        return self.tokens - self.since


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkInput:
    """One stream's next chunk: `tokens` (n,) from the state's place on, look-ahead included."""

    prompt: Prompt
    noise: FrameNoise
    state: StreamState
    tokens: Tensor
    kept: int  # of the tokens, those to be heard; the rest is look-ahead


def prompt_noise(frames: int, bins: int) -> Tensor:
    """The noise (1, bins, frames) under every prompt of that length."""
    generator = torch.Generator().manual_seed(_PROMPT_SEED)
    return torch.randn(1, frames, bins, generator=generator).transpose(1, 2)


@torch.inference_mode()
def hear_prompt(s3gen: S3Gen, voice: S3GenConditioning, settings: StreamSettings) -> Prompt:
    """Run the flow over a voice's prompt, by itself."""
    limit, whole = settings.prompt_tokens, voice.prompt_tokens.shape[1]
    count = whole if limit is None else min(limit, whole)
    heard = max(0, count - s3gen.config.flow.encoder.lookahead)
    cut = FRAMES_PER_TOKEN * heard
    mel = voice.prompt_mel.transpose(1, 2)
    mel = mel if count == whole else mel[..., : FRAMES_PER_TOKEN * count]
    noise = to_device(prompt_noise(FRAMES_PER_TOKEN * count, mel.shape[1]), mel.device)
    memory = s3gen.flow.blank_memory(heard)
    if heard > 0:
        news = News(
            tokens=voice.prompt_tokens[:, :count],
            x_vector=voice.x_vector,
            condition=mel[..., : FRAMES_PER_TOKEN * count],
            noise=noise,
            extent=Extent.of(prompt=[0], past=[0], new=[count], kept=[heard], device=mel.device),
            seen=0,
        )
        nothing = FlowMemory.stack([s3gen.flow.blank_memory(0)])
        _, after = s3gen.flow.extend(news, FlowMemory.stack([memory]), nothing)
        (memory,) = after.unstack()
    return Prompt(
        tokens=heard,
        memory=memory,
        x_vector=voice.x_vector,
        waiting_tokens=voice.prompt_tokens[0, heard:count],
        waiting_mel=mel[..., cut:],
        waiting_noise=noise[..., cut:],
    )


def start_stream(
    s3gen: S3Gen, prompt: Prompt, noise: FrameNoise, settings: StreamSettings
) -> StreamState:
    """The state before the first chunk."""
    phases = noise.phases().to(prompt.x_vector)
    nothing = phases.new_zeros
    return StreamState(
        tokens=0,
        frames=0,
        flow=prompt.memory.recent(0).recent(settings.window_tokens),
        mel=nothing(1, s3gen.config.flow.mel_bins, 0),
        f0=nothing(1, 0),
        phases=phases,
        foretaste=nothing(1, 0),
    )


@torch.inference_mode()
def render_chunks(
    s3gen: S3Gen,
    chunks: Sequence[ChunkInput],
    settings: StreamSettings,
    extend: Extend | None = None,
    sound: Sound | None = None,
) -> list[tuple[Tensor, StreamState]]:
    """The samples (n,) of each chunk and the state after it; a row sounds as it would alone.

    `extend` takes the place of `s3gen.flow.extend`, `sound` that of `s3gen.mel2wav.sound`.
    """
    mels, memories = listen(chunks, extend or s3gen.flow.extend)
    rows = [
        _Row.of(chunk, mel, memory)
        for chunk, mel, memory in zip(chunks, mels, memories, strict=True)
    ]
    plain = s3gen.mel2wav.sound
    if sound is None and rows[0].around.device.type == "cpu":
        # There, company makes the vocoder no faster, and each shape has kernels of its own.
        return [sounded for row in rows for sounded in _sound(s3gen, [row], settings, plain)]
    return _sound(s3gen, rows, settings, sound or plain)


def listen(chunks: Sequence[ChunkInput], extend: Extend) -> tuple[list[Tensor], list[FlowMemory]]:
    """Of each chunk the mel (1, bins, frames) of all its tokens, and the flow's memory after it."""
    memory = FlowMemory.stack([chunk.state.flow for chunk in chunks])
    longest = max(chunk.prompt.tokens for chunk in chunks)
    same_voice = all(chunk.prompt is chunks[0].prompt for chunk in chunks)
    heard = [
        chunk.prompt.memory if same_voice else chunk.prompt.memory.recent(longest)
        for chunk in chunks
    ]
    opened = [_opened(chunk) for chunk in chunks]
    past = [
        min(chunk.state.heard + chunk.prompt.waiting, memory.low.window) if chunk.state.heard else 0
        for chunk in chunks
    ]
    new = [len(o.tokens) for o in opened]
    extent = Extent.of(
        prompt=[chunk.prompt.tokens for chunk in chunks],
        past=past,
        new=new,
        kept=[o.kept for o in opened],
        device=chunks[0].tokens.device,
    )
    padded = functools.partial(nn.utils.rnn.pad_sequence, batch_first=True)
    news = News(
        tokens=padded([o.tokens for o in opened]),
        x_vector=torch.cat([chunk.prompt.x_vector for chunk in chunks]),
        condition=padded([o.condition.T for o in opened]).transpose(1, 2),
        noise=padded([o.noise.T for o in opened]).transpose(1, 2),
        extent=extent,
        seen=max(past),
    )
    mel, after = extend(news, memory, FlowMemory.stack(heard))
    mels = [
        mel[row : row + 1, :, o.skipped : FRAMES_PER_TOKEN * len(o.tokens)]
        for row, o in enumerate(opened)
    ]
    return mels, after.unstack()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A chunk as the flow is to hear it: the first one begins with what waits of the prompt."""

    tokens: Tensor  # (n,)
    kept: int
    condition: Tensor  # (bins, 2n)
    noise: Tensor  # (bins, 2n)
    skipped: int  # frames that are the prompt's


def _opened(chunk: ChunkInput) -> _Opened:
    prompt, start = chunk.prompt, FRAMES_PER_TOKEN * chunk.state.tokens
    frames = FRAMES_PER_TOKEN * len(chunk.tokens)
    noise = chunk.noise.mel(start, start + frames)[0].to(prompt.x_vector)
    if chunk.state.heard > 0:
        return _Opened(
            tokens=chunk.tokens,
            kept=chunk.kept,
            condition=torch.zeros_like(noise),
            noise=noise,
            skipped=0,
        )
    known = prompt.waiting_mel[0]
    frames += FRAMES_PER_TOKEN * prompt.waiting
    return _Opened(
        tokens=torch.cat([prompt.waiting_tokens, chunk.tokens]),
        kept=prompt.waiting + chunk.kept,
        condition=functional.pad(known, (0, frames - known.shape[-1])),
        noise=torch.cat([prompt.waiting_noise[0], noise], dim=-1),
        skipped=known.shape[-1],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A chunk whose mel is known."""

    chunk: ChunkInput
    memory: FlowMemory
    around: Tensor  # (1, bins, behind + frames + following), what the vocoder is to hear
    behind: int  # frames heard already
    frames: int  # to be heard now

    @property
    def is_last(self) -> bool:
        return self.chunk.kept == len(self.chunk.tokens)

    @classmethod
    def of(cls, chunk: ChunkInput, mel: Tensor, memory: FlowMemory) -> "_Row":
        state = chunk.state
        end = FRAMES_PER_TOKEN * (state.tokens + chunk.kept) - chunk.prompt.overhang
        return cls(
            chunk=chunk,
            memory=memory,
            around=torch.cat([state.mel, mel], dim=-1),
            behind=state.mel.shape[-1],
            frames=end - state.frames,
        )


def _sound(
    s3gen: S3Gen, rows: Sequence[_Row], settings: StreamSettings, sound: Sound
) -> list[tuple[Tensor, StreamState]]:
    """Samples of each row, and the state after it."""
    vocoder = s3gen.mel2wav
    sizes = [row.around.shape[-1] for row in rows]
    size, like = max(sizes), rows[0].around
    if len(rows) == 1 and rows[0].is_last:  # of any length, where the others are of a few
        size = -(-size // _LAST_STEP) * _LAST_STEP
    mel = torch.cat([functional.pad(r.around, (0, size - r.around.shape[-1])) for r in rows])
    lengths = None
    if min(sizes) < size:
        lengths = integers(sizes, like.device)
    f0 = like.new_zeros(len(rows), size)
    noise = like.new_zeros(
        len(rows), vocoder.config.overtones + 1, size * vocoder.config.samples_per_frame
    )
    for n, row in enumerate(rows):
        state = row.chunk.state
        f0[n, : row.behind] = state.f0[0]  # as it was heard, or the phase would not meet
        start = state.frames - row.behind
        drawn = row.chunk.noise.source(start, start + sizes[n])
        noise[n, :, : drawn.shape[-1]] = drawn[0].to(noise)
    phases = torch.cat([row.chunk.state.phases for row in rows])
    known = integers([row.behind for row in rows], like.device)
    wav, f0 = sound(Heard(mel=mel, lengths=lengths, f0=f0, known=known, phases=phases, noise=noise))
    return [
        _finish(s3gen, row, wav[n : n + 1, : sizes[n] * vocoder.config.samples_per_frame],
                f0[n : n + 1], settings)
        for n, row in enumerate(rows)
    ]  # fmt: skip


def _finish(
    s3gen: S3Gen, row: _Row, wav: Tensor, f0: Tensor, settings: StreamSettings
) -> tuple[Tensor, StreamState]:
    """Cut out a row's samples (n,), join them to what was heard, and move its state on."""
    vocoder, state = s3gen.mel2wav, row.chunk.state
    per_frame = vocoder.config.samples_per_frame
    fresh = _onset(wav[0, row.behind * per_frame :], state.frames * per_frame, s3gen)
    samples, foretaste = fresh[: row.frames * per_frame], fresh[row.frames * per_frame :]
    end = row.behind + row.frames
    start = max(0, end - settings.vocoder_frames)
    after = StreamState(
        tokens=state.tokens + row.chunk.kept,
        frames=state.frames + row.frames,
        since=state.since,
        flow=row.memory,
        mel=row.around[..., start:end].clone(),
        f0=f0[:, start:end].clone(),
        phases=vocoder.advance(f0[:, :start], state.phases) % (2 * math.pi),
        foretaste=foretaste[None, : round(settings.overlap_s * s3gen.sample_rate_hz)].clone(),
    )
    return _meet(state.foretaste[0], samples), after


def _onset(wav: Tensor, start: int, s3gen: S3Gen) -> Tensor:
    """Fade in what lies at the beginning of the utterance; `start` is the first sample's place."""
    gain = s3gen.fade[start : start + len(wav)]
    return wav * functional.pad(gain, (0, len(wav) - len(gain)), value=1.0)


def _meet(foretaste: Tensor, samples: Tensor) -> Tensor:
    """Fade from the foretaste into the samples that take its place."""
    n = min(len(foretaste), len(samples))
    rise = (torch.arange(n, device=samples.device) + 0.5) / max(n, 1)
    return torch.cat([foretaste[:n] * (1 - rise) + samples[:n] * rise, samples[n:]])
