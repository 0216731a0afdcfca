"""T3 alone: how fast prefixes are read and tokens drawn, against what memory allows.

A decode step reads every weight of the backbone and of the speech head once, however many
streams share it, and each stream's keys and values; no step can be faster than that reading.
"""

import random
from collections.abc import Callable, Iterator

import torch

from chatterbox.benchmark.machine import MB, peak_memory, read_bandwidth_gb_s, seconds_of
from chatterbox.benchmark.report import Figure
from chatterbox.benchmark.subject import Subject
from chatterbox.engine.batch import Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.speech import Sampling

Advance = Callable[[], None]


class _Choir:
    """The streams of one measurement in a T3 runner; all that knows the runner's interface."""

    def __init__(self, subject: Subject, config: EngineConfig) -> None:
        self._subject = subject
        self._models = subject.models
        self._piece = config.prefill_positions
        self._runner = T3Runner(self._models, config)
        self._speakers: list[Speaker] = []

    def begin(self, tokens: int) -> None:
        """Put a new speaker into every slot."""
        asked = self._subject.conditions
        self._speakers = []
        for slot in range(asked.streams):
            sampling = self._models.family.settle(Sampling(seed=asked.seed + slot))
            # Nobody may stop: every step draws for all of them.
            self._speakers.append(self._runner.speaker(slot, sampling, least_tokens=tokens + 1))

    def read(self) -> None:
        """Read every speaker's text and voice and draw its first token."""
        asked = self._subject.conditions
        for speaker in self._speakers:
            text = self._subject.text(asked.tokens, random.Random(asked.seed + speaker.slot))
            text_ids = self._models.tokenizer.encode(text, self._models.family.languages[0])
            voice = self._subject.voices[speaker.slot % len(self._subject.voices)]
            voice = voice.to(self._models.device)
            positions = self._runner.begin(speaker, text_ids, voice.t3)
            for start in range(0, positions, self._piece):
                self._runner.read(speaker, start, min(start + self._piece, positions))
            self._runner.first(speaker)

    def decode(self, steps: int) -> None:
        self._runner.decode(self._speakers, steps)

    @property
    def position_count(self) -> int:
        """Positions of all the cache rows in use."""
        return sum(speaker.length * (2 if speaker.guided else 1) for speaker in self._speakers)


def measure_t3(subject: Subject, advance: Advance) -> Iterator[Figure]:
    """Tokens and prefix positions a second, all streams together, and the share of the limit."""
    asked, device = subject.conditions, subject.models.device
    config = EngineConfig(
        slots=asked.streams,
        threads=asked.threads,
        max_speech_tokens=asked.tokens + 1,
    )
    choir = _Choir(subject, config)
    steps = max(1, asked.tokens - 1)
    reading: list[float] = []
    decoding: list[float] = []
    for repeat in range(asked.repeats + 1):
        choir.begin(asked.tokens)
        read_s = seconds_of(choir.read, device)
        read_positions = choir.position_count
        decode_s = seconds_of(lambda: choir.decode(steps), device)
        if repeat > 0:  # the first one warms up
            reading.append(read_positions / read_s)
            decoding.append(asked.streams * steps / decode_s)
        advance()
    yield Figure.of("tokens_per_s", decoding)
    yield Figure.of("steps_per_s", [rate / asked.streams for rate in decoding])
    yield Figure.of("prefill_positions_per_s", reading)
    yield Figure.of("prefix_positions", [read_positions])
    yield from peak_memory(device)  # before the block that the bandwidth is measured with
    yield from _limit(subject, decoding, read_positions)


def _limit(subject: Subject, decoding: list[float], positions: int) -> Iterator[Figure]:
    """What a step reads, and how near the measured rate comes to reading it at full speed."""
    asked = subject.conditions
    weights = weight_bytes(subject.models.t3.backbone) + weight_bytes(subject.models.t3.speech_head)
    t3 = subject.family.t3
    cache = 2 * t3.layers * t3.dim * 4 * positions
    yield Figure.of("weights_read_per_step_mb", [weights / MB])
    yield Figure.of("cache_read_per_step_mb", [cache / MB])
    bandwidth = read_bandwidth_gb_s(subject.models.device)
    yield Figure.of("read_bandwidth_gb_s", [bandwidth])
    limit = asked.streams * bandwidth * 1e9 / (weights + cache)
    yield Figure.of("limit_tokens_per_s", [limit])
    yield Figure.of("share_of_limit", [rate / limit for rate in decoding])


def weight_bytes(module: torch.nn.Module) -> int:
    """Bytes of the parameters and buffers that a decode step reads whole: all but look-up tables."""
    tables = {
        id(tensor)
        for part in module.modules()
        if isinstance(part, torch.nn.Embedding)
        for tensor in part.parameters()
    }
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    return sum(t.numel() * t.element_size() for key, t in tensors.items() if key not in tables)
