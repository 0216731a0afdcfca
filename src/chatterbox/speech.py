"""What can be asked of the service and what it says back, as plain values.

`server.convert` makes these from protobuf and back; `chatterbox.synthesis` takes and yields
them. Nothing here imports torch, numpy's heavier half, or grpc.
"""

import math
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Final

from chatterbox.errors import InvalidRequest

if TYPE_CHECKING:
    from chatterbox.audio.clip import Clip

MAX_TEXT_CHARACTERS = 100_000  # of one request or one live session; about two hours of speech
MAX_BUFFER_DELAY_S = 5.0
MAX_PRONUNCIATIONS = 100  # of one request
MAX_PHRASE_CHARACTERS = 64
MAX_SPOKEN_AS_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a number, both ends among them unless `low` is `open`."""

    low: float
    high: float
    open: bool = False
    whole: bool = False

    def check(self, name: str, value: float) -> None:
        """Raise InvalidRequest naming the field `options.<name>` for a value outside."""
        inside = (self.low < value if self.open else self.low <= value) and value <= self.high
        if math.isnan(value) or not inside:
            bracket = "(" if self.open else "["
            raise InvalidRequest(
                f"{name} must lie in {bracket}{self.low:g}, {self.high:g}], got {value:g}",
                field=f"options.{name}",
                reason="OUT_OF_RANGE",
            )


RANGES: Final = {
    "temperature": Range(0.0, 5.0),
    "exaggeration": Range(0.0, 2.0),
    "cfg_weight": Range(0.0, 1.0),
    "top_p": Range(0.0, 1.0, open=True),
    "top_k": Range(0, 1_000_000, whole=True),
    "min_p": Range(0.0, 1.0),
    "repetition_penalty": Range(1.0, 5.0),
    "seed": Range(0, 2**63 - 1, whole=True),
}
"""What each of `Sampling` may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How speech tokens are drawn. None means the model family's own default.

    A temperature of 0 picks the likeliest token, a top_k of 0 is off. The same request with the
    same seed gives the same audio. Raises InvalidRequest for what is not in `RANGES`.
    """

    seed: int | None = None  # None draws one; the `Started` event says which
    temperature: float | None = None
    exaggeration: float | None = None
    cfg_weight: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                RANGES[each.name].check(each.name, value)


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """`phrase`, wherever it is written just so and as whole words, is said as `spoken_as`.

    Raises InvalidRequest naming the field `pronunciations`.
    """

    phrase: str
    spoken_as: str

    def __post_init__(self) -> None:
        for name, text, most in (
            ("phrase", self.phrase, MAX_PHRASE_CHARACTERS),
            ("spoken_as", self.spoken_as, MAX_SPOKEN_AS_CHARACTERS),
        ):
            if not text.strip() or len(text) > most:
                raise _bad_pronunciation(f"{name} has 1 to {most} characters, got {text[:80]!r}")
            if "[" in text or "]" in text:
                raise _bad_pronunciation(f"{name} may hold no square bracket, got {text!r}")


def _bad_pronunciation(message: str) -> InvalidRequest:
    return InvalidRequest(message, field="pronunciations", reason="INVALID_PRONUNCIATION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What happens to sound on its way to the listener, as far as the engine's deadlines go."""

    speaking_rate: float = 1.0  # how much faster it is heard than the model says it
    held_back_s: float = 0.0  # of an utterance, until more of it comes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechConfig:
    """Everything about a synthesis but its text.

    `model` and `voice` are resource ids ("tiny", "ada"), None for the server's default. With
    `reference_audio`, a sound file, that recording is the voice and `voice` is None.
    """

    voice: str | None = None
    model: str | None = None
    language: str | None = None  # BCP 47; None is the voice's own
    sampling: Sampling = field(default_factory=Sampling)
    max_buffer_delay_s: float = 1.0  # live text waits at most this long for its sentence to end
    pronunciations: tuple[Pronunciation, ...] = ()
    reference_audio: bytes | None = None
    word_timings: bool = False  # tell when each word is said
    delivery: Delivery = Delivery()  # a value

    def __post_init__(self) -> None:
        if len(self.pronunciations) > MAX_PRONUNCIATIONS:
            raise _bad_pronunciation(
                f"a request has at most {MAX_PRONUNCIATIONS} pronunciations, "
                f"got {len(self.pronunciations)}"
            )
        if not 0.0 <= self.max_buffer_delay_s <= MAX_BUFFER_DELAY_S:
            raise InvalidRequest(
                f"max_buffer_delay must lie in [0, {MAX_BUFFER_DELAY_S:g}] seconds",
                field="max_buffer_delay",
                reason="OUT_OF_RANGE",
            )


# What a live session takes in, after its config.


@dataclass(frozen=True, slots=True)
class TextFragment:
    """A piece of text, cut anywhere, even inside a word; it joins what came before."""

    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Speak all text given so far without waiting for its sentence to end."""

    flush_id: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The listener spoke over us: drop unspoken text and audio not yet delivered."""

    playback_offset_s: float | None = None  # how far the listener had heard, if known


SpeechInput = TextFragment | Flush | Interrupt


# What a session gives out. `Started` is first and `Summary` last unless it fails.


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The request was accepted; these are the settings in force."""

    model: str
    voice: str
    sample_rate_hz: int
    seed: int


class Silence(Enum):
    """What kind of silence a stretch of sound is."""

    BOUNDARY = "boundary"  # between two utterances
    ASKED = "asked"  # as the text asks for it, to the sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of an utterance, as it is written, with the marks at it, and when it is said.

    In seconds from the utterance's first sample.
    """

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The next stretch of sound. Offsets and sequence numbers are without gaps."""

    clip: "Clip"
    sequence: int  # 0, 1, 2, ... over the stream
    offset_samples: int  # where this clip starts on the stream's clock
    segment: int  # which utterance of the stream it belongs to, from 0
    silence: Silence | None = None  # None: somebody speaks
    owed_since_s: float = 0.0  # on the monotonic clock: since when the listener's side wants it
    words: tuple[Word, ...] = ()  # that end in this clip or ended shortly before it, if asked for


@dataclass(frozen=True, slots=True)
class UtteranceDone:
    """All audio of an utterance was given; whatever comes is not part of it."""

    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushDone:
    """All text given before the flush has been spoken, up to `offset_samples`."""

    flush_id: str
    offset_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The interrupt took effect: `offset_samples` were delivered, `dropped_text` will not be."""

    offset_samples: int
    dropped_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something was ignored or altered, and the stream goes on. `code` is UPPER_SNAKE."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The stream is complete."""

    character_count: int
    segment_count: int
    audio_duration_s: float
    time_to_first_audio_s: float  # from the first text to the first audio; 0 if there was none
    synthesis_duration_s: float  # wall time from first text to last audio
    compute_duration_s: float  # time the device spent on this stream
    real_time_factor: float  # synthesis_duration_s / audio_duration_s; below 1 outpaces playback
    underrun_count: int  # how often a listener in real time was kept waiting in mid-speech
    underrun_s: float  # and for how long in all


SpeechEvent = Started | Audio | UtteranceDone | FlushDone | Interrupted | Warned | Summary
