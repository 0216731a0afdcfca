"""Device: what the engine's thread drives; the models on hardware, or a tone generator."""

from collections.abc import Mapping
from collections.abc import Sequence as Several
from typing import TYPE_CHECKING, Protocol

from chatterbox.audio.clip import Clip
from chatterbox.engine.job import Job
from chatterbox.engine.plan import Plan
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.engine.sequence import Chunk, Sequence, Utterance
from chatterbox.speech import Word

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models


class Device(Protocol):
    """All methods but `families` and `max_tokens` are called on the engine's one thread."""

    @property
    def families(self) -> Mapping[str, FamilyInfo]:
        """What it can speak with, the default first; known before `open`."""

    def max_tokens(self, text: str) -> int:
        """The most speech tokens this text can need; an utterance that reaches it is cut."""

    def open(self) -> None:
        """Load, warm up and be ready to run at full speed."""

    def trial(self, family: str) -> Utterance | None:
        """Something to say in a voice that does not exist, to warm up and take the time.

        None for a device that needs neither.
        """

    def admit(self, sequence: Sequence) -> int:
        """Prepare a sequence that has just got its slot; returns the positions of its prefix.

        One that has begun elsewhere (`Utterance.begun`) goes on from there: what was drawn is a
        part of its prefix. There is none if everything was drawn. A ChatterboxError here fails this sequence alone; anything else fails them all.
        """

    def draw(self, plan: Plan) -> Job[Mapping[Sequence, tuple[int | None, ...]]]:
        """Read what is to be read and draw speech tokens; None, always last, where one ended.

        Up to `plan.steps` for each decoding sequence, one for each whose last piece was read,
        nothing for the other newcomers. The result is asked for before the next plan; until
        then nobody is admitted, told of or forgotten.
        """

    def render(self, chunks: Several[Chunk]) -> Job[Several[Clip]]:
        """The audio of each chunk. Chunks of one sequence come in order, without gaps.

        One rendering at a time; others are admitted and forgotten and tokens drawn meanwhile,
        where the device can do both.
        """

    def mark(self, sequence: Sequence) -> bytes:
        """What `admit` needs of its latest chunk to go on behind it, on another device too."""

    def words(self, chunk: Chunk) -> tuple[Word, ...]:
        """The words of a timed sequence that end in the chunk rendered last, those left over too."""

    def forget(self, sequence: Sequence) -> None:
        """Let go of what is kept for a sequence; it may be one never admitted."""

    def models(self, family: str) -> "Models | None":
        """The networks of a family, for work beside speaking; None where it has none."""

    def close(self) -> None:
        """Release the hardware."""
