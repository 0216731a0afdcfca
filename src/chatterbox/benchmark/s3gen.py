"""S3Gen alone: an utterance rendered whole, the engine's chunks, and a chunk late in a long stream."""

import itertools
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from chatterbox.benchmark.machine import matmul_gflops, peak_memory, seconds_of
from chatterbox.benchmark.report import Advance, Figure
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.s3gen_runner import S3GenRunner
from chatterbox.engine.sequence import Chunk, Finish, Sequence
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.s3gen.stream import StreamSettings

EARLY_S = 10.0  # into a stream: its chunks have grown to their full size
_GIGA = 1e9


def measure_s3gen(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """Whole, in chunks, and late in a stream; all on tokens that nobody drew."""
    yield from _whole(subject)
    yield from _chunks(subject, advance)
    yield from _early_and_late(subject)
    yield from peak_memory(subject.models.device)
    yield from _limit(subject)


# Rendered whole.


@dataclass(frozen=True, slots=True)
class WholeTimes:
    """Seconds that one utterance took."""

    flow_s: float
    vocoder_s: float


@torch.inference_mode()
def render_whole(subject: Subject, tokens: int) -> WholeTimes:
    """Render one utterance of so many tokens whole, as the reference does."""
    s3gen, device = subject.models.s3gen, subject.models.device
    voice = subject.voice(0).to(device).s3gen
    speech = _tokens(subject, tokens).to(device)[None]
    noise = s3gen.draw_noise(tokens, voice)
    rendered: list[torch.Tensor] = []
    flow_s = seconds_of(lambda: rendered.append(s3gen.mel(speech, voice, noise.flow)), device)
    vocoder_s = seconds_of(lambda: s3gen.sound(rendered[0], noise), device)
    return WholeTimes(flow_s, vocoder_s)


def _whole(subject: Subject) -> Iterator[Figure]:
    asked = subject.conditions
    render_whole(subject, asked.tokens)  # warms up
    times = [render_whole(subject, asked.tokens) for _ in range(asked.repeats)]
    audio_s = asked.tokens / TOKEN_RATE_HZ
    yield Figure.of("whole_flow_s", [each.flow_s for each in times])
    yield Figure.of("whole_vocoder_s", [each.vocoder_s for each in times])
    yield Figure.of("whole_rtf", [(each.flow_s + each.vocoder_s) / audio_s for each in times])
    known = KnownVoice(subject)
    known.render(asked.tokens)  # warms up and hears the prompt
    times_s = [known.render(asked.tokens) for _ in range(asked.repeats)]
    yield Figure.of("whole_known_voice_s", times_s)


class KnownVoice:
    """The engine's way to a whole utterance: what it heard of the voice before is remembered."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._runner = _runner(subject, EngineConfig())

    def render(self, tokens: int) -> float:
        """One utterance of so many tokens in one chunk; returns the seconds."""
        voicing = _Voicing(self._subject, self._runner, streams=1, tokens=tokens)
        taken_s = voicing.render(tokens)
        voicing.leave()
        return taken_s


# In chunks.


class _Voicing:
    """Streams in an S3Gen runner that are rendered in step; all that knows its interface."""

    def __init__(self, subject: Subject, runner: S3GenRunner, *, streams: int, tokens: int) -> None:
        self._runner = runner
        self._device = subject.models.device
        self._together = EngineConfig().suited_to(subject.conditions.device).render_batch
        self._end = 0
        self._sequences = []
        for number in range(streams):
            utterance = subject.utterance(number, tokens=1, voice_number=number)
            sequence = Sequence(utterance=utterance, max_tokens=tokens)
            sequence.tokens = _tokens(subject, tokens, number).tolist()
            sequence.finish = Finish.TOO_LONG
            voice = utterance.conditioning().to(subject.models.device)
            runner.begin(sequence, voice.s3gen)
            self._sequences.append(sequence)

    def render(self, tokens: int) -> float:
        """The next chunk of every stream, as many together as the engine would; returns the seconds."""
        end = self._end + tokens
        chunks = [
            Chunk(sequence, self._end, end, is_last=end == len(sequence.tokens))
            for sequence in self._sequences
        ]
        self._end = end
        batches = [chunks[n : n + self._together] for n in range(0, len(chunks), self._together)]
        return seconds_of(lambda: [self._runner.render(batch) for batch in batches], self._device)

    def leave(self) -> None:
        for sequence in self._sequences:
            self._runner.forget(sequence)


def _runner(subject: Subject, config: EngineConfig) -> S3GenRunner:
    settings = StreamSettings(right_tokens=config.look_ahead_tokens)
    return S3GenRunner(subject.models, settings)


def _chunks(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """The engine's ramp of chunks, all streams in step."""
    asked = subject.conditions
    runner = _runner(subject, EngineConfig())
    sizes = _ramp(asked.tokens, EngineConfig())
    runs = []
    for repeat in range(asked.repeats + 1):
        voicing = _Voicing(subject, runner, streams=asked.streams, tokens=asked.tokens)
        times = [voicing.render(size) for size in sizes]
        voicing.leave()
        if repeat > 0:  # the first one warms up and hears the prompts
            runs.append(times)
        advance(1 / (asked.repeats + 1))
    audio_s = asked.streams * asked.tokens / TOKEN_RATE_HZ
    yield Figure.of("first_chunk_s", [times[0] for times in runs])
    yield Figure.of("rtf", [sum(times) * asked.streams / audio_s for times in runs])
    yield Figure.of("audio_s_per_s", [audio_s / sum(times) for times in runs])
    yield Figure.of("chunks", [len(sizes)])


def _ramp(tokens: int, config: EngineConfig) -> list[int]:
    """The sizes of the chunks in which the engine would render so many tokens."""
    ends = [end for end in config.chunk_ends if end + config.look_ahead_tokens < tokens]
    return [stop - start for start, stop in itertools.pairwise([0, *ends, tokens])]


def _early_and_late(subject: Subject) -> Iterator[Figure]:
    """Two streams in turn, one really rendered up to `late_s`, the other up to ten seconds."""
    asked, config = subject.conditions, EngineConfig()
    size, count = config.max_chunk_tokens, 2 * asked.repeats + 1
    runner = _runner(subject, config)
    early, late = (
        _advanced(subject, runner, chunks=max(1, round(start_s * TOKEN_RATE_HZ / size)), more=count)
        for start_s in (EARLY_S, asked.late_s)
    )
    times: dict[_Voicing, list[float]] = {early: [], late: []}
    for turn in range(count):
        for voicing in (early, late) if turn % 2 else (late, early):
            times[voicing].append(voicing.render(size))
    early_s, late_s = times[early][1:], times[late][1:]
    yield Figure.of("early_chunk_s", early_s)
    yield Figure.of("late_chunk_s", late_s)
    yield Figure.of("late_place_s", [asked.late_s])
    yield Figure.of("late_over_early", [statistics.median(late_s) / statistics.median(early_s)])


def _advanced(subject: Subject, runner: S3GenRunner, *, chunks: int, more: int) -> _Voicing:
    """A stream after so many chunks of full size, with tokens for `more`."""
    size = EngineConfig.max_chunk_tokens
    voicing = _Voicing(subject, runner, streams=1, tokens=(chunks + more + 1) * size)
    for _ in range(chunks):
        voicing.render(size)
    return voicing


# Against the machine.


def _limit(subject: Subject) -> Iterator[Figure]:
    """What an utterance costs at least: operations over what one matrix product reaches."""
    asked, device = subject.conditions, subject.models.device
    flow, vocoder = flops_of(subject, asked.tokens)
    audio_s = asked.tokens / TOKEN_RATE_HZ
    peak = matmul_gflops(device, torch.float32)
    yield Figure.of("flow_gflop", [flow / _GIGA])
    yield Figure.of("vocoder_gflop", [vocoder / _GIGA])
    yield Figure.of("fp32_gflop_per_s", [peak])
    yield Figure.of("bf16_gflop_per_s", [matmul_gflops(device, torch.bfloat16)])
    yield Figure.of("fp32_limit_rtf", [(flow + vocoder) / _GIGA / peak / audio_s])


@torch.no_grad()
def flops_of(subject: Subject, tokens: int) -> tuple[int, int]:
    """Operations of flow and vocoder for an utterance rendered whole, a fused one counted twice.

    Counted on networks of their own in fp32: packed weights hide what is done with them.
    """
    s3gen = S3Gen(subject.family.s3gen).eval()
    voice = subject.voice(0).s3gen
    noise = s3gen.draw_noise(tokens, voice)
    with FlopCounterMode(display=False) as flow:
        mel = s3gen.mel(_tokens(subject, tokens)[None], voice, noise.flow)
    with FlopCounterMode(display=False) as vocoder:
        s3gen.sound(mel, noise)
    return flow.get_total_flops(), vocoder.get_total_flops()


def _tokens(subject: Subject, count: int, number: int = 0) -> torch.Tensor:
    """Random speech tokens (count,): what is rendered from them costs the same as speech."""
    seed = random.Random(f"{subject.conditions.seed} {number}").getrandbits(32)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(subject.family.t3.speech_codes, (count,), generator=generator)
