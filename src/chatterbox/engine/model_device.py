"""ModelDevice: the models on their hardware, as the engine's thread drives them."""

import struct
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from chatterbox.audio.clip import Clip
from chatterbox.engine import pace
from chatterbox.engine.batch import Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.job import Job
from chatterbox.engine.lane import CallersLane, Lane, lanes_of
from chatterbox.engine.plan import Plan, Prefill
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.engine.s3gen_runner import S3GenRunner
from chatterbox.engine.sequence import Chunk, Sequence, Utterance
from chatterbox.engine.t3_runner import T3Runner, Tokens
from chatterbox.engine.warm_up import nobody, warm_up_s3gen, warm_up_t3
from chatterbox.engine.words import WordClock
from chatterbox.errors import ConfigError, InvalidRequest
from chatterbox.models.bundle import Models, bundled_folder, load_models
from chatterbox.models.conditioning import S3GenConditioning, T3Conditioning
from chatterbox.models.families import FAMILIES, Family
from chatterbox.models.precision import Precision
from chatterbox.models.s3gen.stream import StreamSettings
from chatterbox.speech import Sampling, Word
from chatterbox.text.tokenizer import TinyTokenizer
from chatterbox.text.words import WordSpan

Drawn = Mapping[Sequence, Tokens]

_WORDS = struct.Struct("<II")  # where a word clock is, in front of what the vocoder remembers
# Long enough that no model may end before the rehearsal does (`pace.least_tokens`).
_TRIAL = (
    "This is said to nobody, so that whoever comes first need not wait for it to be said at all."
)


@dataclass(frozen=True, slots=True)
class FamilySource:
    """A family, and how to load it when the device opens."""

    family: Family
    load: Callable[[], Models]


@dataclass(slots=True)
class _Loaded:
    """One family, running."""

    models: Models
    t3: T3Runner
    s3gen: S3GenRunner
    speakers: dict[Sequence, Speaker] = field(default_factory=dict)
    clocks: dict[Sequence, WordClock] = field(default_factory=dict)  # of timed ones

    def launch(self, plan: Plan) -> Iterator[Callable[[], Drawn]]:
        """Launch this family's part of a plan; what to ask for the tokens, once that is done."""
        decoding = [sequence for sequence in plan.decode if sequence in self.speakers]
        if decoding:
            yield self._decode(decoding, plan.steps)
        for piece in plan.prefill:
            if piece.sequence in self.speakers:
                yield self._read(piece)

    def _read(self, piece: Prefill) -> Callable[[], Drawn]:
        """Read a piece of a prefix; the last one gives the first token."""
        speaker = self.speakers[piece.sequence]
        self.t3.read(speaker, piece.start, piece.stop)
        if not piece.is_last:
            return dict
        first = self.t3.launch_first(speaker)
        return lambda: {piece.sequence: (first(),)}

    def _decode(self, sequences: Several[Sequence], steps: int) -> Callable[[], Drawn]:
        """Up to `steps` tokens of each, None after the last one where it ended."""
        speakers = [self.speakers[sequence] for sequence in sequences]
        before = [speaker.drawn for speaker in speakers]
        tokens = self.t3.launch(speakers, steps)

        def drawn() -> Drawn:
            told = dict(zip(sequences, tokens(), strict=True))
            for sequence, speaker, start in zip(sequences, speakers, before, strict=True):
                if sequence in self.clocks:
                    self.clocks[sequence].look(self.t3.looks(speaker, start).numpy())
            return told

        return drawn

    def time_words(self, sequence: Sequence) -> None:
        """Let a clock run for a sequence that wants one, if the family and its text allow it."""
        utterance, tokenizer = sequence.utterance, self.models.tokenizer
        if not utterance.timed or not self.models.family.alignment_heads:
            return
        assert isinstance(tokenizer, TinyTokenizer), "who has alignment heads knows the words"
        framed = int(self.models.t3.config.start_text is not None)
        spans = [
            WordSpan(span.text, span.first + framed, span.stop + framed)
            for span in tokenizer.words(utterance.text, utterance.language)
        ]
        place, told = 0, 0
        if utterance.begun is not None and utterance.begun.sound:
            place, told, _ = _taken_apart(utterance.begun.sound)
        clock = self.clocks[sequence] = WordClock(spans, place=place, told=told)
        clock.begin_at(sequence.voiced_count)


class ModelDevice:
    """A `Device` that speaks with real models."""

    def __init__(
        self,
        sources: Several[FamilySource],
        config: EngineConfig,
        settings: StreamSettings | None = None,
        *,
        lanes: Callable[[torch.device], tuple[Lane, Lane]] = lanes_of,
    ) -> None:
        """`lanes` gives those to draw and to render in."""
        self._lanes = lanes
        self._sources = tuple(sources)
        self._config = config
        settings = settings or StreamSettings()
        self._settings = replace(settings, right_tokens=config.look_ahead_tokens)
        self._families = {source.family.id: family_info(source.family) for source in sources}
        self._loaded: dict[str, _Loaded] = {}
        self._drawing: Lane = CallersLane()
        self._rendering: Lane = CallersLane()

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        return self._families

    def max_tokens(self, text: str) -> int:
        return pace.most_tokens(text)

    def open(self) -> None:
        torch.set_num_threads(self._config.threads)
        for source in self._sources:
            models = source.load()
            if not self._loaded:
                self._drawing, self._rendering = self._lanes(models.device)
            if models.device.type == "cuda":
                torch.cuda.synchronize(models.device)  # the lanes do not wait for what loading does
            with self._drawing.inside():
                t3 = T3Runner(models, self._config)
                tokens = warm_up_t3(models, t3, self._config)
            with self._rendering.inside():
                s3gen = S3GenRunner(models, self._settings)
                warm_up_s3gen(models, s3gen, tokens)
            self._loaded[source.family.id] = _Loaded(models=models, t3=t3, s3gen=s3gen)

    def trial(self, family: str) -> Utterance:
        models, t3 = self._loaded[family].models, self._loaded[family].t3
        conditioning, language = nobody(models).to(torch.device("cpu")), models.family.languages[0]
        text = _TRIAL
        while len(models.tokenizer.encode(text, language)) > t3.max_text_tokens:
            text = text.rpartition(" ")[0]
        return Utterance(
            text=text,
            family=family,
            voice="nobody",
            language=language,
            sampling=Sampling(seed=0),
            conditioning=lambda: conditioning,
            awaited=False,
        )

    def admit(self, sequence: Sequence) -> int:
        """Tokenize the text and fetch the voice."""
        utterance = sequence.utterance
        loaded = self._loaded[utterance.family]
        text_ids = loaded.models.tokenizer.encode(utterance.text, utterance.language)
        if len(text_ids) > loaded.t3.max_text_tokens:
            raise InvalidRequest(
                f"an utterance of {len(text_ids)} text tokens is too long, "
                f"at most {loaded.t3.max_text_tokens} are spoken at once",
                field="input.text",
                reason="UTTERANCE_TOO_LONG",
            )
        conditioning = utterance.conditioning()
        loaded.time_words(sequence)
        if not sequence.is_voiced:
            with self._rendering.inside():
                self._begin_voice(loaded, sequence, conditioning.s3gen)
        if sequence.is_drawn:
            return 0
        with self._drawing.inside():
            return self._begin_text(loaded, sequence, text_ids, conditioning.t3)

    def _begin_text(
        self, loaded: _Loaded, sequence: Sequence, text_ids: list[int], voice: T3Conditioning
    ) -> int:
        utterance, family = sequence.utterance, loaded.models.family
        sampling = family.settle(utterance.sampling)
        assert sampling.exaggeration is not None, "settled"
        assert sequence.slot is not None, "admitted sequences have a slot"
        least = min(pace.least_tokens(utterance.text), sequence.max_tokens - 1)
        timed = sequence in loaded.clocks
        speaker = loaded.t3.speaker(sequence.slot, sampling, least_tokens=least, timed=timed)
        loaded.speakers[sequence] = speaker
        voice = replace(voice, exaggeration=sampling.exaggeration)
        positions = loaded.t3.begin(speaker, text_ids, voice, sequence.tokens)
        if timed:
            # Where it looked for the first token, and those drawn elsewhere, nobody knows.
            unknown = len(sequence.tokens) + 1 - sequence.voiced_count
            places = speaker.text.stop - speaker.text.start
            loaded.clocks[sequence].look(np.full((unknown, places), 1 / places, np.float32))
        return positions

    def _begin_voice(self, loaded: _Loaded, sequence: Sequence, voice: S3GenConditioning) -> None:
        begun = sequence.utterance.begun
        if begun is None or begun.voiced_count == 0:
            loaded.s3gen.begin(sequence, voice)
        else:
            ends = self._config.chunk_ends[: sequence.chunk_index]
            *_, mark = _taken_apart(begun.sound)
            loaded.s3gen.resume(sequence, voice, ends, mark)

    def mark(self, sequence: Sequence) -> bytes:
        loaded = self._loaded[sequence.utterance.family]
        clock = loaded.clocks.get(sequence)
        place, told = (0, 0) if clock is None else (clock.place, clock.told)
        with self._rendering.inside():
            return _WORDS.pack(place, told) + loaded.s3gen.mark(sequence)

    def words(self, chunk: Chunk) -> tuple[Word, ...]:
        clock = self._loaded[chunk.sequence.utterance.family].clocks.get(chunk.sequence)
        return () if clock is None else clock.until(chunk.end, is_last=chunk.is_last)

    def draw(self, plan: Plan) -> Job[Drawn]:
        def launch() -> Callable[[], Drawn]:
            parts = [part for loaded in self._loaded.values() for part in loaded.launch(plan)]
            return lambda: {sequence: own for part in parts for sequence, own in part().items()}

        return self._drawing.launch(launch)

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        def launch() -> Callable[[], Several[Clip]]:
            parts: list[tuple[list[Chunk], Callable[[], list[Clip]]]] = []
            for family, loaded in self._loaded.items():
                mine = [chunk for chunk in chunks if chunk.sequence.utterance.family == family]
                if mine:
                    parts.append((mine, loaded.s3gen.launch(mine)))

            def clips() -> Several[Clip]:
                by_chunk = {
                    c: clip for mine, told in parts for c, clip in zip(mine, told(), strict=True)
                }
                return [by_chunk[chunk] for chunk in chunks]

            return clips

        return self._rendering.launch(launch)

    def forget(self, sequence: Sequence) -> None:
        loaded = self._loaded.get(sequence.utterance.family)
        if loaded is not None:
            speaker = loaded.speakers.pop(sequence, None)
            if speaker is not None:
                loaded.t3.forget(speaker)
            loaded.s3gen.forget(sequence)
            loaded.clocks.pop(sequence, None)

    def models(self, family: str) -> Models:
        return self._loaded[family].models

    def close(self) -> None:
        for lane in (self._drawing, self._rendering):
            lane.wait()
        self._loaded.clear()


def _taken_apart(mark: bytes) -> tuple[int, int, bytes]:
    """What `ModelDevice.mark` put together; raises InvalidRequest."""
    if len(mark) < _WORDS.size:
        raise InvalidRequest("the mark is damaged", reason="RESUME_INVALID")
    place, told = _WORDS.unpack_from(mark)
    return place, told, mark[_WORDS.size :]


def family_info(family: Family) -> FamilyInfo:
    """What a caller needs to know of a family."""
    return FamilyInfo(
        id=family.id,
        display_name=family.display_name,
        description=family.description,
        languages=family.languages,
        parameters=family.parameters,
        defaults=family.defaults,
        times_words=bool(family.alignment_heads),
        sample_rate_hz=family.s3gen.vocoder.sample_rate_hz,
        tags=family.tags,
        min_reference_s=family.min_reference_s,
    )


def model_engine(
    family_id: str,
    weights: Path | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    config: EngineConfig | None = None,
) -> DeviceEngine:
    """An engine for one family, not yet started; the weights are read when it starts.

    Raises ConfigError for an unknown family, or one whose weights must be named and are not.
    """
    family = FAMILIES.get(family_id)
    if family is None:
        raise ConfigError(f"there is no model family {family_id!r}, only {', '.join(FAMILIES)}")
    folder = bundled_folder(family) if weights is None else weights
    source = FamilySource(
        family, lambda: load_models(family, folder, device=device, precision=precision)
    )
    config = (config or EngineConfig()).suited_to(device)
    return DeviceEngine(ModelDevice([source], config), config)
