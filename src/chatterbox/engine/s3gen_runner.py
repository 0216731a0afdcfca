"""S3GenRunner: turns tokens that are ready into clips, several streams at a time."""

import math
from collections import OrderedDict
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass
from hashlib import blake2b

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.stitch import fade_out
from chatterbox.engine.flow_graphs import FlowGraphs
from chatterbox.engine.recording import CudaRecorder
from chatterbox.engine.sampler import uniform
from chatterbox.engine.sequence import Chunk, Finish, Sequence
from chatterbox.engine.vocoder_graphs import VocoderGraphs
from chatterbox.errors import InvalidRequest
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.resume import keepsake, resume_stream
from chatterbox.models.s3gen.stream import (
    ChunkInput,
    Extend,
    Prompt,
    Sound,
    StreamSettings,
    StreamState,
    hear_prompt,
    render_chunks,
    start_stream,
)
from chatterbox.models.transfer import integers, to_host, wait

_FADE_S = 0.01  # at the end of an utterance: its last sample need not be zero
_MEL, _SOURCE, _PHASES = 0, 1, 2  # the streams of one seed
_STREAM_STEP = 0x632BE59BD9B4E019  # odd, so that the streams of neighbouring seeds do not meet
_FRAME_ZERO = 1 << 32  # positions are counted from here: the prompt's frames are negative


class SeededNoise:
    """The `FrameNoise` of one seed: the same frame always gets the same numbers."""

    def __init__(
        self,
        seed: int,
        *,
        bins: int,
        harmonics: int,
        samples_per_frame: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._seed = seed
        self._device = device
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
        positions = torch.arange(start + _FRAME_ZERO, stop + _FRAME_ZERO, device=self._device)
        return uniform(torch.full_like(positions, seed), positions, count)


def _normal(uniform_numbers: Tensor) -> Tensor:
    """Numbers in (0, 1) as unit normal ones, float32."""
    numbers: Tensor = torch.special.ndtri(uniform_numbers)
    return numbers.float()


@dataclass(frozen=True, slots=True)
class _Stream:
    """One sequence being voiced."""

    prompt: Prompt
    noise: SeededNoise
    state: StreamState


class S3GenRunner:
    """S3Gen of one family, with the streaming state of every sequence being voiced."""

    def __init__(
        self,
        models: Models,
        settings: StreamSettings | None = None,
        *,
        prompt_cache_bytes: int = 2 << 30,
    ) -> None:
        """What was heard of voices is kept up to `prompt_cache_bytes`, the last one in any case."""
        self._models = models
        self._settings = settings or StreamSettings()
        self._streams: dict[Sequence, _Stream] = {}
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()
        self._prompt_cache_bytes = prompt_cache_bytes
        self._extend: Extend = models.s3gen.flow.extend
        self._sound: Sound | None = None
        if models.device.type == "cuda":
            window, recorder = self._settings.window_tokens, CudaRecorder()
            self._extend = FlowGraphs(models.s3gen.flow, recorder, window=window).extend
            self._sound = VocoderGraphs(models.s3gen.mel2wav, recorder).sound

    def begin(self, sequence: Sequence, conditioning: S3GenConditioning) -> None:
        """Get ready to render a sequence with this voice."""
        noise, prompt = self._noise(sequence), self._prompt(conditioning)
        state = start_stream(self._models.s3gen, prompt, noise, self._settings)
        self._streams[sequence] = _Stream(prompt, noise, state)

    def resume(
        self,
        sequence: Sequence,
        conditioning: S3GenConditioning,
        ends: Several[int],
        mark: bytes,
    ) -> None:
        """Get ready to go on behind chunks of a sequence that end at `ends`, in tokens.

        `mark` is what `mark` gave behind the last of them. Raises InvalidRequest if it is not
        one of this family's.
        """
        noise, prompt = self._noise(sequence), self._prompt(conditioning)
        state = resume_stream(
            self._models.s3gen,
            ChunkInput(
                prompt=prompt,
                noise=noise,
                state=start_stream(self._models.s3gen, prompt, noise, self._settings),
                tokens=self._ids(sequence.tokens),
                kept=ends[-1],
            ),
            ends,
            _unpacked(mark),
            self._settings,
        )
        self._streams[sequence] = _Stream(prompt, noise, state)

    def mark(self, sequence: Sequence) -> bytes:
        """What the vocoder remembers of a sequence, a few kB; `resume` makes the rest anew."""
        kept = keepsake(self._streams[sequence].state)
        return save({name: part.float().cpu().contiguous() for name, part in kept.items()})

    def _noise(self, sequence: Sequence) -> SeededNoise:
        s3gen, seed = self._models.s3gen, sequence.utterance.sampling.seed
        assert seed is not None, "the synthesizer set one"
        return SeededNoise(
            seed,
            bins=s3gen.config.flow.mel_bins,
            harmonics=s3gen.config.vocoder.overtones + 1,
            samples_per_frame=s3gen.config.vocoder.samples_per_frame,
            device=self._models.device,
        )

    def _ids(self, tokens: Several[int]) -> Tensor:
        return integers(tokens, self._models.device)

    def _prompt(self, voice: S3GenConditioning) -> Prompt:
        key = _digest(voice)
        known = self._prompts.get(key)
        if known is None:
            here = voice.to(self._models.device)
            known = self._prompts[key] = hear_prompt(self._models.s3gen, here, self._settings)
        self._prompts.move_to_end(key)
        while len(self._prompts) > 1 and self._prompt_bytes > self._prompt_cache_bytes:
            self._prompts.popitem(last=False)
        return known

    @property
    def _prompt_bytes(self) -> int:
        return sum(prompt.size_bytes for prompt in self._prompts.values())

    def render(self, chunks: Several[Chunk]) -> list[Clip]:
        """`launch`, and wait for it."""
        clips = self.launch(chunks)
        wait(self._models.device)
        return clips()

    def launch(self, chunks: Several[Chunk]) -> Callable[[], list[Clip]]:
        """Launch chunks of different sequences; those of one sequence come in order.

        What is returned gives their audio, once the device is done.
        """
        inputs = [self._input(chunk) for chunk in chunks]
        rendered = render_chunks(
            self._models.s3gen, inputs, self._settings, self._extend, self._sound
        )
        told = []
        for chunk, (samples, after) in zip(chunks, rendered, strict=True):
            stream = self._streams[chunk.sequence]
            self._streams[chunk.sequence] = _Stream(stream.prompt, stream.noise, after)
            told.append((to_host(samples), chunk.is_last))

        def clips() -> list[Clip]:
            rate = self._models.s3gen.sample_rate_hz
            heard = [(Clip(samples.numpy(), rate), is_last) for samples, is_last in told]
            return [fade_out(clip, seconds=_FADE_S) if last else clip for clip, last in heard]

        return clips

    def _input(self, chunk: Chunk) -> ChunkInput:
        sequence = chunk.sequence
        stream = self._streams[sequence]
        tokens = sequence.tokens[chunk.start : chunk.end]
        if chunk.is_last and sequence.finish is Finish.STOPPED:
            tokens = [*tokens, *self._models.family.closing_tokens]
        kept = len(tokens)
        if not chunk.is_last:
            ahead = chunk.end + self._settings.right_tokens
            tokens = [*tokens, *sequence.tokens[chunk.end : ahead]]
        return ChunkInput(
            prompt=stream.prompt,
            noise=stream.noise,
            state=stream.state,
            tokens=self._ids(tokens),
            kept=kept,
        )

    def forget(self, sequence: Sequence) -> None:
        """Drop the state of a sequence, if there is any."""
        self._streams.pop(sequence, None)


def _unpacked(mark: bytes) -> dict[str, Tensor]:
    try:
        return load(mark)
    except SafetensorError as error:
        raise InvalidRequest("the mark is damaged", reason="RESUME_INVALID") from error


def _digest(voice: S3GenConditioning) -> bytes:
    """The same for the same voice, however often it was loaded."""
    digest = blake2b(digest_size=16)
    for part in (voice.prompt_tokens, voice.prompt_mel, voice.x_vector):
        digest.update(part.cpu().contiguous().numpy().tobytes())
    return digest.digest()
