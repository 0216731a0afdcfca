"""T3 alone: how fast prefixes are read and tokens drawn, against what memory allows.

A decode step reads every weight of the backbone and of the speech head once, however many
streams share it, and each stream's keys and values; no step can be faster than that reading.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from chatterbox.benchmark.machine import MB, peak_memory, read_bandwidth_gb_s, seconds_of
from chatterbox.benchmark.report import Advance, Figure
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.batch import Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.recording import Recorder, Repetition
from chatterbox.engine.t3_runner import T3Runner, kept_dtype
from chatterbox.models.checkpoint import without_storage
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.t3.model import T3
from chatterbox.speech import Sampling

_WEIGHT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
_HEAD_BYTES = {"int8": 2}  # where it is not as the rest: its errors are heard at once


class Choir:
    """Streams in a T3 runner that are decoded in step; all that knows the runner's interface."""

    def __init__(
        self, subject: Subject, config: EngineConfig, *, recorder: Recorder | None = None
    ) -> None:
        self._subject = subject
        self._config = config.suited_to(subject.conditions.device)
        self._device = subject.models.device
        self._runner = T3Runner(subject.models, self._config, recorder=recorder)
        self._runner.prepare()
        self._speakers: list[Speaker] = []
        self._strangers = 0
        self.position_count = 0  # of all the cache rows in use
        self.read_count = 0  # of them, those that the last reading had to read

    def begin(self, *, streams: int, tokens: int, seed: int) -> None:
        """So many new speakers in place of the last ones, for at most so many tokens."""
        for speaker in self._speakers:
            self._runner.forget(speaker)
        self._speakers = []
        for slot in range(streams):
            sampling = self._subject.family.settle(Sampling(seed=seed + slot))
            # Nobody may stop: every step draws for all of them.
            self._speakers.append(self._runner.speaker(slot, sampling, least_tokens=tokens + 1))

    def read(self, texts: list[list[int]], *, strangers: bool = False) -> float:
        """Read each speaker's text ids and voice, draw its first token; returns the seconds.

        `strangers` have voices that nobody has heard before; the others are remembered.
        """
        voices = [self._subject.voice(s.slot).to(self._device).t3 for s in self._speakers]
        if strangers:
            self._strangers += 1
            voices = [
                replace(voice, speaker_embedding=voice.speaker_embedding.roll(self._strangers))
                for voice in voices
            ]
        self.position_count = self.read_count = 0
        return seconds_of(lambda: self._read(texts, voices), self._device)

    def _read(self, texts: list[list[int]], voices: list[T3Conditioning]) -> None:
        piece = self._config.prefill_positions
        for speaker, text_ids, voice in zip(self._speakers, texts, voices, strict=True):
            positions = self._runner.begin(speaker, text_ids, voice)
            for start in range(0, positions, piece):
                self._runner.read(speaker, start, min(start + piece, positions))
            self._runner.first(speaker)
            rows = 2 if speaker.guided else 1
            self.read_count += positions * rows
            self.position_count += speaker.length * rows

    def decode(self, steps: int) -> float:
        """So many more tokens of every speaker; returns the seconds."""
        return seconds_of(lambda: self.draw(steps), self._device)

    def draw(self, steps: int) -> list[tuple[int | None, ...]]:
        """So many more tokens of every speaker, in turns as long as the engine's."""
        together = self._config.steps_per_sync
        drawn: list[tuple[int | None, ...]] = [()] * len(self._speakers)
        for start in range(0, steps, together):
            more = self._runner.decode(self._speakers, min(together, steps - start))
            drawn = [before + after for before, after in zip(drawn, more, strict=True)]
        return drawn


def choir_config(*, streams: int, tokens: int, threads: int) -> EngineConfig:
    """Room for so many streams of so many tokens; texts have fewer ids than speech has tokens."""
    return EngineConfig(
        slots=streams,
        threads=threads,
        max_speech_tokens=tokens + 1,
        max_text_tokens=max(64, tokens),
    )


def measure_t3(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """Tokens and prefix positions a second, all streams together, and the share of the limit.

    The bandwidth is measured after every turn: others on the machine take from both.
    """
    asked, device = subject.conditions, subject.models.device
    choir = Choir(
        subject,
        choir_config(streams=asked.streams, tokens=asked.tokens, threads=asked.threads),
    )
    steps = max(1, asked.tokens - 1)
    texts = [_text_ids(subject, number) for number in range(asked.streams)]
    strangers_s: list[float] = []
    reading: list[float] = []
    known_s: list[float] = []
    decoding: list[float] = []
    bandwidths: list[float] = []
    memory: tuple[Figure, ...] = ()
    for repeat in range(asked.repeats + 1):
        choir.begin(streams=asked.streams, tokens=asked.tokens, seed=asked.seed)
        stranger_s = choir.read(texts, strangers=True)
        rate = choir.read_count / stranger_s
        choir.begin(streams=asked.streams, tokens=asked.tokens, seed=asked.seed)
        acquainted_s = choir.read(texts)
        decode_s = choir.decode(steps)
        if repeat == 0:  # a warm-up; the memory, before the block that the bandwidth is read from
            memory = tuple(peak_memory(device))
        else:
            strangers_s.append(stranger_s / asked.streams)
            reading.append(rate)
            known_s.append(acquainted_s / asked.streams)
            decoding.append(asked.streams * steps / decode_s)
            bandwidths.append(read_bandwidth_gb_s(device))
        advance(1 / (asked.repeats + 1))
    yield Figure.of("tokens_per_s", decoding)
    yield Figure.of("steps_per_s", [rate / asked.streams for rate in decoding])
    yield Figure.of("prefill_positions_per_s", reading)
    yield Figure.of("prefill_new_voice_s", strangers_s)
    yield Figure.of("prefill_known_voice_s", known_s)
    yield Figure.of("prefix_positions", [choir.position_count])
    yield from memory
    weights, cache = bytes_per_step(subject, choir.position_count)
    yield Figure.of("weights_read_per_step_mb", [weights / MB])
    yield Figure.of("cache_read_per_step_mb", [cache / MB])
    yield Figure.of("read_bandwidth_gb_s", bandwidths)
    limits = [asked.streams * each * 1e9 / (weights + cache) for each in bandwidths]
    yield Figure.of("limit_tokens_per_s", limits)
    shares = [rate / limit for rate, limit in zip(decoding, limits, strict=True)]
    yield Figure.of("share_of_limit", shares)


def decode_rates(subject: Subject, *, streams: int) -> list[float]:
    """Tokens a second of so many streams together, once for each repeat."""
    asked = subject.conditions
    config = choir_config(streams=streams, tokens=asked.tokens, threads=asked.threads)
    choir, steps = Choir(subject, config), max(1, asked.tokens - 1)
    texts = [_text_ids(subject, number) for number in range(streams)]
    rates = []
    for _ in range(asked.repeats + 1):
        choir.begin(streams=streams, tokens=asked.tokens, seed=asked.seed)
        choir.read(texts)
        rates.append(streams * steps / choir.decode(steps))
    return rates[1:]


def _text_ids(subject: Subject, number: int) -> list[int]:
    asked = subject.conditions
    text = subject.text(asked.tokens, random.Random(asked.seed + number))
    return subject.models.tokenizer.encode(text, subject.family.languages[0])


def differing_tokens(subject: Subject, *, streams: int) -> int:
    """How many tokens differ between steps as the engine runs them and the other way.

    On a GPU that is the replay of a recording against the same work done again; on a CPU, steps
    of just the speakers there are against those of all slots.
    """
    asked = subject.conditions
    config = choir_config(streams=streams, tokens=asked.tokens, threads=asked.threads)
    texts = [_text_ids(subject, number) for number in range(streams)]
    told = []
    for recorder in (None, Repetition()):
        choir = Choir(subject, config, recorder=recorder)
        choir.begin(streams=streams, tokens=asked.tokens, seed=asked.seed)
        choir.read(texts)
        told.append(choir.draw(max(1, asked.tokens - 1)))
    one, other = ([token for tokens in drawn for token in tokens] for drawn in told)
    return sum(a != b for a, b in zip(one, other, strict=True))


def bytes_per_step(subject: Subject, positions: int) -> tuple[int, int]:
    """Weights, keys and values that a decode step reads with so many positions in all its rows.

    Counted on a network without storage: laid out for speed, weights cannot be looked at.
    """
    t3 = without_storage(lambda: T3(subject.family.t3))
    precision = subject.conditions.precision
    weights = sum(_products(part) * _WEIGHT_BYTES[precision] for part in t3.backbone.children())
    weights += _products(t3.speech_head) * _HEAD_BYTES.get(precision, _WEIGHT_BYTES[precision])
    config, kept = subject.family.t3, kept_dtype(subject.models)
    return weights, 2 * config.layers * config.dim * kept.itemsize * positions


def _products(module: nn.Module) -> int:
    """Numbers in the matrices that every row is multiplied by: all but look-up tables."""
    return sum(
        parameter.numel()
        for part in module.modules()
        if not isinstance(part, nn.Embedding)
        for parameter in part.parameters(recurse=False)
        if parameter.dim() > 1
    )
