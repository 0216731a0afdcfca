"""ToneEngine: speaks sine waves. No model, no weights; the same bounds, thread and scheduler.

For tests, load tests and work on clients: the length follows the text, the pitch follows the
voice and the seed, and the same request gives the same samples.
"""

import math
import time
import zlib
from collections.abc import Mapping
from collections.abc import Sequence as Several

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.stitch import fade_in, fade_out
from chatterbox.engine import pace
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.job import Done, Job
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.engine.sequence import Chunk, Sequence, Utterance
from chatterbox.speech import Sampling, Word

TONE_FAMILY = FamilyInfo(
    id="tone",
    display_name="Tone",
    description="Sine waves in place of speech, for tests.",
    languages=("en",),
    parameters=frozenset({"seed", "temperature"}),
    defaults=Sampling(temperature=0.8),
    times_words=True,
)


class ToneDevice:
    """A `Device` of sine waves. `seconds_per_token` is slept away for every token rendered."""

    def __init__(
        self,
        families: Several[FamilyInfo] = (TONE_FAMILY,),
        *,
        seconds_per_token: float = 0.0,
    ) -> None:
        self._families = {family.id: family for family in families}
        self._seconds_per_token = seconds_per_token

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        return self._families

    def max_tokens(self, text: str) -> int:
        return self.token_count(text) + 1

    @staticmethod
    def token_count(text: str) -> int:
        """How many tokens this text is spoken with."""
        return pace.usual_tokens(text)

    def open(self) -> None:
        """Nothing to load."""

    def trial(self, family: str) -> Utterance | None:
        return None

    def admit(self, sequence: Sequence) -> int:
        return 0 if sequence.is_drawn else len(sequence.utterance.text)

    def words(self, chunk: Chunk) -> tuple[Word, ...]:
        """Each word takes its share of the letters."""
        text, count = chunk.sequence.utterance.text, len(chunk.sequence.tokens)
        if chunk.sequence.finish is None:
            count = self.token_count(text)
        words: list[Word] = []
        place = 0
        for written in text.split():
            first, place = text.index(written, place), text.index(written, place) + len(written)
            start, end = (count * at / len(text) for at in (first, place))
            if chunk.start < end <= chunk.end or (chunk.is_last and end > chunk.start):
                seconds = start / TOKEN_RATE_HZ, end / TOKEN_RATE_HZ
                words.append(Word(text=written, start_s=seconds[0], end_s=seconds[1]))
        return tuple(words)

    def mark(self, sequence: Sequence) -> bytes:
        return b""

    def draw(self, plan: Plan) -> Job[Mapping[Sequence, tuple[int | None, ...]]]:
        drawn = {
            piece.sequence: self._next(piece.sequence, 1) for piece in plan.prefill if piece.is_last
        }
        drawn |= {sequence: self._next(sequence, plan.steps) for sequence in plan.decode}
        return Done(drawn)

    def _next(self, sequence: Sequence, steps: int) -> tuple[int | None, ...]:
        """Its tokens count upwards from 0."""
        begin, end = len(sequence.tokens), self.token_count(sequence.utterance.text)
        tokens = range(begin, min(begin + steps, end))
        return (*tokens, None) if len(tokens) < steps else tuple(tokens)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        return Done([self._render(chunk) for chunk in chunks])

    def _render(self, chunk: Chunk) -> Clip:
        time.sleep(self._seconds_per_token * (chunk.end - chunk.start))
        utterance = chunk.sequence.utterance
        rate = self._families[utterance.family].sample_rate_hz
        samples_per_token = rate // TOKEN_RATE_HZ
        moments = np.arange(chunk.start * samples_per_token, chunk.end * samples_per_token)
        kind = zlib.crc32(f"{utterance.voice}/{utterance.sampling.seed}".encode())
        pitch_hz = 110.0 * 2 ** (kind % 25 / 12)  # two octaves from A2, in semitones
        wave = 0.3 * np.sin(2 * math.pi * pitch_hz * moments / rate)
        clip = Clip(wave.astype(np.float32), rate)
        if chunk.start == 0:
            clip = fade_in(clip, seconds=0.01)
        return fade_out(clip, seconds=0.01) if chunk.is_last else clip

    def forget(self, sequence: Sequence) -> None:
        """Nothing is kept."""

    def models(self, family: str) -> None:
        return None

    def close(self) -> None:
        """Nothing to release."""


class ToneEngine(DeviceEngine):
    """A `DeviceEngine` around a `ToneDevice`."""

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        families: Several[FamilyInfo] = (TONE_FAMILY,),
        seconds_per_token: float = 0.0,
    ) -> None:
        super().__init__(ToneDevice(families, seconds_per_token=seconds_per_token), config)
