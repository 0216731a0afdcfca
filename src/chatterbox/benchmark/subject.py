"""Subject: the networks that are measured, the voices they speak in and texts of known length."""

import random
from collections.abc import Mapping
from collections.abc import Sequence as Several
from functools import cached_property

import torch

from chatterbox.audio.clip import Clip
from chatterbox.benchmark.conditions import PROMPT_S, Conditions
from chatterbox.benchmark.texts import LetterTokenizer, sentences, text_of
from chatterbox.engine.config import TOKEN_RATE_HZ, EngineConfig
from chatterbox.engine.device import Device
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.pace import LEAST_PER_CHARACTER
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.engine.sequence import Chunk, Sequence, Utterance
from chatterbox.models.bundle import Models, load_models, random_models
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.models.families import Family
from chatterbox.speech import Sampling
from chatterbox.voices.library import VoiceLibrary, bundled_voices

MADE_UP_VOICES = 4
# An untrained network may stop anywhere, but no text is let to end below this pace; a trained
# one will not have read a text to its end that asks for twice the speech.
_UNTRAINED_PACE = LEAST_PER_CHARACTER
_TRAINED_PACE = 0.85  # tokens a letter
# So that a text at that pace, far too quick, has about the ids of the same speech as usually read.
_CHARACTERS_PER_ID = {"turbo": 15}
_CHARACTERS_PER_ID_ELSEWHERE = 5


class Subject:
    """One family under one set of conditions. Loading happens once, when first needed."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.family: Family = conditions.family
        self._pace = _UNTRAINED_PACE if conditions.random_weights else _TRAINED_PACE

    @cached_property
    def models(self) -> Models:
        """The networks. Raises ConfigError or CheckpointError."""
        asked = self.conditions
        if not asked.random_weights:
            return load_models(self.family, asked.weights, device=asked.device)
        per_id = _CHARACTERS_PER_ID.get(self.family.tokenizer, _CHARACTERS_PER_ID_ELSEWHERE)
        tokenizer = LetterTokenizer(self.family.t3, characters_per_id=per_id)
        return random_models(self.family, tokenizer, seed=asked.seed, device=asked.device)

    @cached_property
    def voices(self) -> tuple[Conditioning, ...]:
        """The bundled or named voices of the family, or made-up ones of the prompt asked for."""
        asked = self.conditions
        if asked.random_weights:
            rng = torch.Generator().manual_seed(asked.seed)
            prompt_s = asked.prompt_s or PROMPT_S
            return tuple(_made_up_voice(self.family, prompt_s, rng) for _ in range(MADE_UP_VOICES))
        library = VoiceLibrary([asked.voices or bundled_voices()])
        ids = [voice.id for voice in library.list() if self.family.id in voice.families]
        return tuple(library.conditioning(voice_id, self.family.id) for voice_id in ids)

    def device(self, config: EngineConfig, *, exact: bool = True) -> Device:
        """The networks as an engine drives them; `exact` speaks every text of `text` to its length."""
        device = ModelDevice([FamilySource(self.family, lambda: self.models)], config)
        return _ExactLength(device, self._pace) if exact else device

    def text(self, tokens: int, rng: random.Random) -> str:
        """A text that the exact device speaks with so many tokens."""
        letters = int(tokens / self._pace)
        while int(letters * self._pace) < tokens:
            letters += 1
        return text_of(letters, rng)

    def utterance(self, number: int, *, tokens: int | None = None) -> Utterance:
        """The text, voice and seed of that number; without `tokens`, one to three sentences.

        `tokens` are met exactly by the exact device alone.
        """
        rng = random.Random(f"{self.conditions.seed} {number}")
        text = sentences(rng.randint(1, 3), rng) if tokens is None else self.text(tokens, rng)
        voice = self.voices[rng.randrange(len(self.voices))]
        return Utterance(
            text=text,
            family=self.family.id,
            voice="benchmark",
            language=self.family.languages[0],
            sampling=Sampling(seed=rng.getrandbits(32)),
            conditioning=lambda: voice,
        )


class _ExactLength:
    """A `Device` that cuts every utterance at a fixed number of tokens per letter."""

    def __init__(self, device: Device, pace: float) -> None:
        self._device = device
        self._pace = pace

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        return self._device.families

    def max_tokens(self, text: str) -> int:
        return max(1, int(sum(character.isalpha() for character in text) * self._pace))

    def open(self) -> None:
        self._device.open()

    def admit(self, sequence: Sequence) -> int:
        return self._device.admit(sequence)

    def draw(self, plan: Plan) -> Mapping[Sequence, tuple[int | None, ...]]:
        return self._device.draw(plan)

    def render(self, chunks: Several[Chunk]) -> Several[Clip]:
        return self._device.render(chunks)

    def forget(self, sequence: Sequence) -> None:
        self._device.forget(sequence)

    def close(self) -> None:
        self._device.close()


def _made_up_voice(family: Family, prompt_s: float, rng: torch.Generator) -> Conditioning:
    """A voice of the right shapes with a prompt of that length; nobody sounds like it."""
    tokens, bins = max(1, round(prompt_s * TOKEN_RATE_HZ)), family.s3gen.flow.mel_bins
    speaker = torch.randn(1, family.t3.speaker_dim, generator=rng)
    codes = family.t3.speech_codes
    return Conditioning(
        t3=T3Conditioning(
            speaker_embedding=speaker / speaker.norm(),
            prompt_tokens=torch.randint(codes, (1, family.t3.prompt_tokens), generator=rng),
        ),
        s3gen=S3GenConditioning(
            prompt_tokens=torch.randint(codes, (1, tokens), generator=rng),
            prompt_mel=torch.randn(1, 2 * tokens, bins, generator=rng) - 6.0,
            x_vector=torch.randn(1, family.s3gen.flow.x_vector, generator=rng),
        ),
    )
