"""S3GenRunner: turns tokens that are ready into clips."""

import math

import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.stitch import fade_out
from chatterbox.engine.sampler import uniform
from chatterbox.engine.sequence import Chunk, Finish, Sequence
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.stream import (
    StreamSettings,
    StreamState,
    UtteranceInput,
    start_stream,
    stream_chunk,
)

_FADE_S = 0.01  # at the end of an utterance: its last sample need not be zero
_MEL, _SOURCE, _PHASES = 0, 1, 2  # the streams of one seed
_STREAM_STEP = 0x632BE59BD9B4E019  # odd, so that the streams of neighbouring seeds do not meet
_FRAME_ZERO = 1 << 32  # positions are counted from here: the prompt's frames are negative


class SeededNoise:
    """The `FrameNoise` of one seed: the same frame always gets the same numbers."""

    def __init__(self, seed: int, *, bins: int, harmonics: int, samples_per_frame: int) -> None:
        self._seed = seed
        self._bins = bins
        self._harmonics = harmonics
        self._per_frame = samples_per_frame

    def mel(self, start: int, stop: int) -> Tensor:
        return _normal(self._uniform(_MEL, start, stop, self._bins)).T[None]

    def source(self, start: int, stop: int) -> Tensor:
        numbers = self._uniform(_SOURCE, start, stop, self._harmonics * self._per_frame)
        by_frame = _normal(numbers).view(-1, self._harmonics, self._per_frame)
        return by_frame.transpose(0, 1).reshape(1, self._harmonics, -1)

    def phases(self) -> Tensor:
        angles = (2 * self._uniform(_PHASES, 0, 1, self._harmonics) - 1) * math.pi
        angles[:, 0] = 0.0  # the fundamental starts at rest
        return angles.float()[..., None]

    def _uniform(self, kind: int, start: int, stop: int, count: int) -> Tensor:
        """(frames, count) in (0, 1), float64."""
        seed = (self._seed + kind * _STREAM_STEP) % 2**63
        positions = torch.arange(start + _FRAME_ZERO, stop + _FRAME_ZERO)
        return uniform(torch.full_like(positions, seed), positions, count)


def _normal(uniform_numbers: Tensor) -> Tensor:
    """Numbers in (0, 1) as unit normal ones, float32."""
    numbers: Tensor = torch.special.ndtri(uniform_numbers)
    return numbers.float()


class S3GenRunner:
    """S3Gen of one family, with the streaming state of every sequence being voiced."""

    def __init__(self, models: Models, settings: StreamSettings | None = None) -> None:
        self._models = models
        self._settings = settings or StreamSettings()
        self._streams: dict[Sequence, tuple[UtteranceInput, StreamState]] = {}

    def begin(self, sequence: Sequence, conditioning: S3GenConditioning) -> None:
        """Get ready to render a sequence with this voice."""
        s3gen, seed = self._models.s3gen, sequence.utterance.sampling.seed
        assert seed is not None, "the synthesizer set one"
        noise = SeededNoise(
            seed,
            bins=s3gen.config.flow.mel_bins,
            harmonics=s3gen.config.vocoder.overtones + 1,
            samples_per_frame=s3gen.config.vocoder.samples_per_frame,
        )
        utterance = UtteranceInput(conditioning=conditioning, noise=noise, settings=self._settings)
        self._streams[sequence] = utterance, start_stream(s3gen, noise)

    def render(self, chunk: Chunk) -> Clip:
        """The audio of a chunk; chunks of a sequence come in order."""
        sequence = chunk.sequence
        utterance, state = self._streams[sequence]
        tokens, end = sequence.tokens, chunk.end
        if chunk.is_last and sequence.finish is Finish.STOPPED:
            tokens = [*tokens, *self._models.family.closing_tokens]
            end = len(tokens)
        samples, after = stream_chunk(
            self._models.s3gen,
            torch.tensor([tokens], dtype=torch.int64, device=self._models.device),
            utterance,
            state,
            end=end,
            is_last=chunk.is_last,
        )
        self._streams[sequence] = utterance, after
        clip = Clip(samples.cpu().numpy(), self._models.s3gen.sample_rate_hz)
        return fade_out(clip, seconds=_FADE_S) if chunk.is_last else clip

    def forget(self, sequence: Sequence) -> None:
        """Drop the state of a sequence, if there is any."""
        self._streams.pop(sequence, None)
