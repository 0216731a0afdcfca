"""Subject: the networks that are measured, the voices they speak in and texts of known length."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from chatterbox.benchmark.conditions import PROMPT_S, Conditions
from chatterbox.benchmark.texts import LetterTokenizer, text_of
from chatterbox.benchmark.voices import write_made_up_voices
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.pace import LEAST_PER_CHARACTER
from chatterbox.engine.sequence import Utterance
from chatterbox.models.bundle import Models, load_models, random_models
from chatterbox.models.conditioning import Conditioning
from chatterbox.models.families import Family
from chatterbox.speech import Sampling
from chatterbox.voices.library import VoiceLibrary, bundled_voices

MADE_UP_VOICES = 4
# An untrained network may stop anywhere, but the engine lets no text end below this pace; a
# trained one will not have read a text to its end that asks for twice the speech.
_UNTRAINED_PACE = LEAST_PER_CHARACTER
_TRAINED_PACE = 0.85  # tokens a letter
_USUAL_PACE = 2.0  # of people who read aloud
# So that a text at the untrained pace, far too quick, has as many ids as a tokenizer would give
# for that much speech.
_CHARACTERS_PER_ID = {"turbo": 15}
_CHARACTERS_PER_ID_ELSEWHERE = 5


class Subject:
    """One family under one set of conditions. Loading happens once, when first needed."""

    def __init__(
        self, conditions: Conditions, voices_folder: Path, *, pace: float | None = None
    ) -> None:
        """`pace` in tokens a letter, for networks that are known not to stop before that."""
        self.conditions = conditions
        self.family: Family = conditions.family
        self.library = VoiceLibrary([voices_folder])
        self._pace = pace or (_UNTRAINED_PACE if conditions.random_weights else _TRAINED_PACE)

    @cached_property
    def models(self) -> Models:
        """The networks. Raises ConfigError or CheckpointError."""
        asked = self.conditions
        if not asked.random_weights:
            return load_models(
                self.family, asked.weights, device=asked.device, precision=asked.precision
            )
        per_id = _CHARACTERS_PER_ID.get(self.family.tokenizer, _CHARACTERS_PER_ID_ELSEWHERE)
        tokenizer = LetterTokenizer(self.family.t3, characters_per_id=per_id)
        return random_models(
            self.family,
            tokenizer,
            seed=asked.seed,
            device=asked.device,
            precision=asked.precision,
        )

    @cached_property
    def voice_ids(self) -> tuple[str, ...]:
        """Everyone in the library who speaks with this family."""
        return tuple(v.id for v in self.library.list() if self.family.id in v.families)

    def voice(self, number: int) -> Conditioning:
        """The voice of that number, counted around."""
        return self.library.conditioning(
            self.voice_ids[number % len(self.voice_ids)], self.family.id
        )

    def exact_device(self, config: EngineConfig) -> ModelDevice:
        """The networks as an engine drives them; every text of `text` gets its very length."""
        return _PacedDevice(self._source, config, pace=self._pace)

    def natural_device(self, config: EngineConfig) -> ModelDevice:
        """The same, with texts as long as the networks find them; untrained ones are cut."""
        if self.conditions.random_weights:
            return _PacedDevice(self._source, config, pace=_USUAL_PACE)
        return ModelDevice([self._source], config)

    @property
    def _source(self) -> FamilySource:
        return FamilySource(self.family, lambda: self.models)

    def text(self, tokens: int, rng: random.Random) -> str:
        """A text that the exact device speaks with so many tokens."""
        letters = int(tokens / self._pace)
        while int(letters * self._pace) < tokens:
            letters += 1
        return text_of(letters, rng)

    def utterance(self, number: int, *, tokens: int, voice_number: int = 0) -> Utterance:
        """Text and seed of that number; the exact device speaks `tokens` speech tokens."""
        rng = random.Random(f"{self.conditions.seed} {number}")
        text, voice = self.text(tokens, rng), self.voice(voice_number)
        return Utterance(
            text=text,
            family=self.family.id,
            voice="benchmark",
            language=self.family.languages[0],
            sampling=Sampling(seed=rng.getrandbits(32)),
            conditioning=lambda: voice,
        )


@contextmanager
def open_subject(conditions: Conditions) -> Iterator[Subject]:
    """The subject with its voices: bundled, named, or made up while the context lasts."""
    if not conditions.random_weights:
        yield Subject(conditions, conditions.voices or bundled_voices())
        return
    with TemporaryDirectory(prefix="chatterbox-bench-") as folder:
        write_made_up_voices(
            Path(folder),
            conditions.family,
            count=MADE_UP_VOICES,
            prompt_s=conditions.prompt_s or PROMPT_S,
            seed=conditions.seed,
        )
        yield Subject(conditions, Path(folder))


class _PacedDevice(ModelDevice):
    """Cuts every utterance at a fixed number of tokens a letter."""

    def __init__(self, source: FamilySource, config: EngineConfig, *, pace: float) -> None:
        super().__init__([source], config)
        self._pace = pace

    def max_tokens(self, text: str) -> int:
        return max(1, int(sum(character.isalpha() for character in text) * self._pace))
