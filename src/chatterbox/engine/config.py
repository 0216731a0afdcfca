"""EngineConfig: the hard bounds of the engine."""

from dataclasses import dataclass, replace
from functools import cached_property

from chatterbox.errors import ConfigError

TOKEN_RATE_HZ = 25  # speech tokens in a second of speech, all families
_GPU_RENDER_BATCH = 4
_GPU_STEPS = 4  # they go on while the host chooses and launches audio
_POSITIVE = (
    "slots",
    "max_speech_tokens",
    "max_text_tokens",
    "render_batch",
    "render_tokens",
    "prefill_positions",
    "steps_per_sync",
    "threads",
)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The bounds the engine allocates for. Nothing grows past them at run time.

    The chunk ramp is a function of the chunk's index alone, never of timing, so that the
    same request and seed are cut in the same places and give the same samples.
    """

    slots: int = 8  # utterances decoded together; guidance doubles the rows
    max_waiting: int = 32  # streams that may wait for their turn
    max_speech_tokens: int = 1000  # of one utterance: 40 s
    max_text_tokens: int = 1024  # of one utterance; about 300 characters need far fewer
    first_chunk_tokens: int = 12  # drawn before the first audio leaves, look-ahead included
    look_ahead_tokens: int = 3  # drawn beyond a chunk's end, so that its last sounds are known
    chunk_growth: float = 1.5  # each chunk over the one before, until the largest
    max_chunk_tokens: int = 50
    render_batch: int = 1  # chunks rendered together, which helps GPUs (see `suited_to`) alone
    render_tokens: int = 200  # in all of them; whoever comes meanwhile waits for the end
    prefill_positions: int = 256  # of newcomers' prefixes read between them; more would stall
    steps_per_sync: int = 1  # decode steps before the host looks at the tokens (see `suited_to`)
    stuck_tokens: int = 50  # the same few tokens over and over for 2 s: the utterance is cut
    hold_tokens: int = 16  # of such a repetition, as much is heard as a sound may be held
    lead_s: float = 8.0  # a stream with so much audio ahead gives way to others
    low_lead_s: float = 2.0  # when one of them has less than this
    max_hold_s: float = 1.5  # that first sounds are kept back when the next would come too late
    max_utilisation: float = 0.85  # of the device in real time; more streams wait. 0 is no limit
    max_wait_s: float = 10.0  # of a newcomer; one that would wait longer is refused
    threads: int = 2  # of the device, when it is a CPU

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_waiting < 0 or self.look_ahead_tokens < 0:
            raise ConfigError("max_waiting and look_ahead_tokens cannot be negative")
        if not 16 <= self.hold_tokens < self.stuck_tokens:
            raise ConfigError(
                f"hold_tokens must be at least 16 and below stuck_tokens={self.stuck_tokens}, "
                f"got {self.hold_tokens}"
            )
        if not 0 <= self.low_lead_s <= self.lead_s:
            raise ConfigError(f"low_lead_s must lie in [0, {self.lead_s:g}], got {self.low_lead_s}")
        if min(self.max_utilisation, self.max_wait_s, self.max_hold_s) < 0:
            raise ConfigError("max_utilisation, max_wait_s and max_hold_s cannot be negative")
        if self.first_chunk_tokens <= self.look_ahead_tokens:
            raise ConfigError(
                f"first_chunk_tokens={self.first_chunk_tokens} must exceed "
                f"look_ahead_tokens={self.look_ahead_tokens}"
            )
        if self.chunk_growth < 1.0:
            raise ConfigError(f"chunk_growth must be at least 1, got {self.chunk_growth}")
        if self.max_chunk_tokens < self.first_chunk_tokens:
            raise ConfigError("max_chunk_tokens must not be below first_chunk_tokens")

    def suited_to(self, device: str) -> "EngineConfig":
        """The same for a device of this name ("cpu", "cuda:1")."""
        if not device.startswith("cuda"):
            return self
        default, changes = EngineConfig, {}
        if self.render_batch == default.render_batch:
            changes["render_batch"] = _GPU_RENDER_BATCH
        if self.steps_per_sync == default.steps_per_sync:
            changes["steps_per_sync"] = _GPU_STEPS
        return replace(self, **changes)

    @property
    def capacity(self) -> int:
        """Streams that may be open at once, speaking or waiting."""
        return self.slots + self.max_waiting

    @property
    def margin_tokens(self) -> int:
        """Drawn beyond a chunk's end before it is rendered, so that the last is never empty."""
        return max(1, self.look_ahead_tokens)

    @cached_property
    def chunk_ends(self) -> tuple[int, ...]:
        """Where each chunk ends, in tokens; strictly rising, reaching past the longest."""
        ends: list[int] = []
        end, size = 0, float(self.first_chunk_tokens - self.look_ahead_tokens)
        while end <= self.max_speech_tokens:
            end += round(size)
            ends.append(end)
            size = min(size * self.chunk_growth, float(self.max_chunk_tokens))
        return tuple(ends)
