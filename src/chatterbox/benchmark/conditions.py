"""Conditions: what is measured, and how. Torch-free, so that bad ones are refused at once."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.errors import ConfigError
from chatterbox.models.families import FAMILIES, Family

What = Literal["t3", "s3gen", "stream", "load", "device"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

PROMPT_S = 10.0  # of a made-up voice: what the reference keeps of a recording
UTTERANCE_S = 5.0
LOAD_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One measurement. Raises ConfigError for what cannot be measured."""

    what: What
    family_id: str = "tiny"
    random_weights: bool = False  # right shapes, nothing learnt, no files
    weights: Path | None = None  # a folder; by default the bundled one
    voices: Path | None = None  # a folder of voices for those weights
    precision: Precision = "fp32"
    device: str = "cpu"
    threads: int = 2
    streams: int = 1  # decoded together
    seconds: float | None = None  # of an utterance; of the whole run under load
    repeats: int = 5
    prompt_s: float | None = None  # of a made-up voice's recording
    late_s: float = 60.0  # how far into a stream a late chunk is, for `s3gen`
    offered: float = 0.7  # of the measured capacity, for `load`
    utterances: int | None = None  # `load` ends after so many, one following the other
    seed: int = 0

    def __post_init__(self) -> None:
        if self.family_id not in FAMILIES:
            raise ConfigError(
                f"--family: there is no {self.family_id!r}, only {', '.join(FAMILIES)}"
            )
        _check_one_of("--what", self.what, get_args(What))
        _check_one_of("--precision", self.precision, get_args(Precision))
        for flag, count in (
            ("--threads", self.threads),
            ("--streams", self.streams),
            ("--repeats", self.repeats),
            ("--utterances", 1 if self.utterances is None else self.utterances),
        ):
            if count < 1:
                raise ConfigError(f"{flag} must be at least 1, got {count}")
        for flag, value in (
            ("--seconds", self.duration_s),
            ("--prompt-s", PROMPT_S if self.prompt_s is None else self.prompt_s),
            ("--late-s", self.late_s),
            ("--offered", self.offered),
        ):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{flag} must be a positive number, got {value:g}")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be negative, got {self.seed}")
        self._check_weights()

    def _check_weights(self) -> None:
        if self.random_weights and (self.weights is not None or self.voices is not None):
            raise ConfigError("--random-weights goes with neither --weights nor --voices")
        if self.prompt_s is not None and not self.random_weights:
            raise ConfigError("--prompt-s needs --random-weights: a real voice has its own prompt")
        if self.family.publication is None or self.random_weights:
            return
        if self.weights is None or self.voices is None:
            raise ConfigError(f"{self.family_id} needs --weights and --voices, or --random-weights")

    @property
    def family(self) -> Family:
        return FAMILIES[self.family_id]

    @property
    def duration_s(self) -> float:
        """`seconds`, or what is usual for this kind of measurement."""
        if self.seconds is not None:
            return self.seconds
        return LOAD_S if self.what == "load" else UTTERANCE_S

    @property
    def tokens(self) -> int:
        """Speech tokens of one utterance."""
        return max(1, round(self.duration_s * TOKEN_RATE_HZ))


def _check_one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{flag}: there is no {value!r}, only {', '.join(known)}")
