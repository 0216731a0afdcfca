"""Slack: how long a sequence can do without the device before its listener hears a gap."""

from dataclasses import dataclass

from chatterbox.engine.capacity import Costs
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Slack:
    """Seen at `now_s`, with what work costs by then and `company` sequences decoded together."""

    config: EngineConfig
    costs: Costs
    now_s: float
    company: int

    def of(self, sequence: Sequence) -> float:
        """Seconds that may pass before work on the next chunk must begin; negative: it is late."""
        return sequence.deadline_s - self.now_s - self.rest_s(sequence)

    def rest_s(self, sequence: Sequence) -> float:
        """How long the device needs until the next chunk is there, if it does nothing else."""
        end = self.config.chunk_ends[sequence.chunk_index]
        if sequence.is_drawn:
            missing, end = 0, min(end, len(sequence.tokens))
        else:
            missing = max(0, end + self.config.margin_tokens - sequence.settled_count)
        unread = sequence.position_count - sequence.read_count
        return (
            unread * self.costs.position_s
            + missing * self.costs.step.seconds(max(1, self.company))
            + self.costs.render_s(1, end - sequence.voiced_count)
        )
