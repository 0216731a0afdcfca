"""Engine: what the rest of the service knows of an engine, whatever runs inside it."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from chatterbox.engine.sequence import Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.speech import Sampling

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyInfo:
    """One model family as a caller sees it."""

    id: str
    display_name: str
    description: str
    languages: tuple[str, ...]  # BCP 47, the first is the default
    parameters: frozenset[str]  # the names in `Sampling` that make a difference
    defaults: Sampling = field(default_factory=Sampling)  # their values where a request has none
    times_words: bool = False  # whether it can tell when each word is said
    sample_rate_hz: int = 24_000
    tags: frozenset[str] = frozenset()  # sounds and manners it can be asked for, as "laugh"
    min_reference_s: float = 3.0  # of a recording that a voice is made of


class EngineState(Enum):
    """STARTING until warm, READY while work is taken, then DRAINING and STOPPED, or FAILED."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """How busy an engine was a moment ago."""

    slots: int  # utterances that are decoded together
    free_slots: int
    waiting: int = 0  # utterances that wait for a slot
    open_utterances: int = 0  # accepted and not yet over
    streams: int = 0  # of listeners, that the device works for
    stream_limit: int | None = None  # that it carries in real time, as measured; None: not known
    queued_audio_s: float = 0.0  # about as much audio is still wanted of it, text to come included


class Engine(Protocol):
    """Turns utterances into streams of clips. Used from one event loop."""

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        """The families it can speak with, the default first."""

    @property
    def state(self) -> EngineState: ...

    @property
    def capacity(self) -> int:
        """How many streams it takes at once, speaking and waiting."""

    @property
    def slots(self) -> int:
        """How many utterances are decoded together."""

    @property
    def load(self) -> EngineLoad:
        """How busy it is. Cheap, and may be read from any thread."""

    @property
    def active_count(self) -> int:
        """Utterances accepted and not yet over."""

    async def start(self) -> None:
        """Load and warm up; returns when READY. Raises what made that impossible."""

    def submit(self, utterance: Utterance) -> SpeechStream:
        """Accept an utterance, at once.

        Raises Overloaded when it is full or would not speak soon, EngineStopped when not READY.
        """

    async def borrow(
        self, family: str, work: "Callable[[Models], Generator[None, None, T]]"
    ) -> T | None:
        """Have `work` done with a family's models, a piece between two steps; its result.

        None where there are no models, as for tones. Raises what `work` raises, Overloaded when too
        much waits already, EngineStopped when not READY.
        """

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take no more work, give what is open `drain_s` to end, fail the rest, and end."""
