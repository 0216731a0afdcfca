"""Rendering: which chunks are rendered now, together, and whether they had better wait.

A rendering cannot be broken off, so it must not begin when it would keep somebody waiting for
longer than the audio already sent lasts.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass

from chatterbox.engine.capacity import Costs
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.sequence import Chunk, Sequence
from chatterbox.engine.slack import Slack
from chatterbox.engine.urgency import Rank, rank, urgency

_RESERVE_S = 0.1  # of audio, for what nobody foresees


def next_chunk(sequence: Sequence, config: EngineConfig) -> Chunk | None:
    """The next chunk, if all that decides how it sounds has been drawn.

    A function of the tokens alone. While they repeat themselves a chunk waits, because what is
    repeated too often will not be heard.
    """
    end = config.chunk_ends[sequence.chunk_index]
    enough = end + config.margin_tokens
    if sequence.is_drawn:
        # A rest shorter than the margin joins this chunk; it was never renderable alone.
        count = len(sequence.tokens)
        is_last = count < enough
        return Chunk(sequence, sequence.voiced_count, count if is_last else end, is_last)
    if sequence.settled_count >= enough:
        return Chunk(sequence, sequence.voiced_count, end, is_last=False)
    return None


@dataclass(frozen=True, slots=True)
class Rendering:
    """The choice of one turn, at `now_s` and with what work costs by then."""

    config: EngineConfig
    costs: Costs
    now_s: float
    idle: bool  # whether nothing is drawn meanwhile

    def choose(self, sequences: Iterable[Sequence]) -> tuple[Chunk, ...]:
        """The chunks to render now, the most urgent first; none where they had better wait."""
        ready: list[Chunk] = []
        drawing: list[Sequence] = []
        for sequence in sequences:
            chunk = next_chunk(sequence, self.config)
            if chunk is None:
                drawing.append(sequence)
            else:
                ready.append(chunk)
        if not ready:
            return ()
        ready.sort(key=lambda chunk: self._urgency(chunk.sequence))
        batch = self._batch(ready)
        if self._rank(batch[0].sequence) is Rank.FIRST:
            return self._pressing(ready, self._cost_s(batch)) or batch
        if self.idle:
            return batch
        if drawing and self._may_grow(batch, len(ready) + len(drawing)):
            return ()
        return () if self._would_harm(batch, ready, drawing) else batch

    def _may_grow(self, batch: Several[Chunk], count: int) -> bool:
        """Whether the batch is worth waiting for others of `count`, and nobody will be short."""
        first = batch[0]
        full = min(self.config.render_batch, count, self.config.render_tokens // first.token_count)
        if len(batch) >= full or not self.costs.batch.gains:
            return False
        if self._rank(first.sequence) is Rank.AHEAD:  # some have no deadline at all
            return self.now_s - first.sequence.served_s < self.config.low_lead_s
        slack_s = first.sequence.deadline_s - self.now_s - self._cost_s(batch)
        return slack_s > self.config.low_lead_s

    def _pressing(self, ready: Several[Chunk], cost_s: float) -> tuple[Chunk, ...]:
        """A chunk that comes in time now, but not after something else of this cost.

        Even a first sound may wait so long: it is worse to stop than to begin later.
        """
        for chunk in ready:
            if self._rank(chunk.sequence) is Rank.SOON:
                slack_s = chunk.sequence.deadline_s - self.now_s - self._cost_s([chunk])
                if 0 <= slack_s < cost_s:
                    return (chunk,)
        return ()

    def _batch(self, ready: Several[Chunk]) -> tuple[Chunk, ...]:
        """The most urgent chunk with others like it, as long as it is not late for their sake."""
        first = ready[0]
        batch, tokens = [first], first.token_count
        is_first_sound = self._rank(first.sequence) is Rank.FIRST
        is_low = first.sequence.deadline_s - self.now_s < self.config.low_lead_s
        gains = self.costs.batch.hardly_grows if is_first_sound else self.costs.batch.gains
        for chunk in ready[1:] if gains else ():
            if len(batch) == self.config.render_batch:
                break
            if is_first_sound and self._rank(chunk.sequence) is not Rank.FIRST:
                break
            if tokens + chunk.token_count > self.config.render_tokens:
                continue
            if not _alike(first, chunk) or (is_low and chunk.token_count > first.token_count):
                continue
            longer = (*batch, chunk)
            if not is_first_sound and self._makes_late(first, longer):
                break
            batch.append(chunk)
            tokens += chunk.token_count
        return tuple(batch)

    def _makes_late(self, chunk: Chunk, batch: Several[Chunk]) -> bool:
        """Whether the chunk comes in time alone, but not in this batch."""
        slack_s = chunk.sequence.deadline_s - self.now_s
        return self._cost_s([chunk]) <= slack_s < self._cost_s(batch)

    def _would_harm(
        self, batch: Several[Chunk], ready: Several[Chunk], drawing: Several[Sequence]
    ) -> bool:
        """Whether someone more urgent, whose tokens are still being drawn, would be late for it."""
        place = self._urgency(batch[0].sequence)
        slack_s, cost_s = self._slack_s(ready), self._cost_s(batch)
        slack = Slack(self.config, self.costs, self.now_s, len(drawing))

        def is_harmed(sequence: Sequence) -> bool:
            match self._rank(sequence):
                case Rank.FIRST:
                    # Nothing is soon enough for a first sound, but it is not worth a gap elsewhere.
                    return slack_s >= slack.rest_s(sequence)
                case Rank.SOON:
                    return slack.of(sequence) < cost_s + _RESERVE_S
            return False

        return any(is_harmed(other) for other in drawing if self._urgency(other) < place)

    def _slack_s(self, ready: Several[Chunk]) -> float:
        """How long everything that is ready can wait, rendered one by one in this order."""
        slack_s, spent_s = float("inf"), 0.0
        for chunk in ready:
            spent_s += self._cost_s([chunk])
            slack_s = min(slack_s, chunk.sequence.deadline_s - self.now_s - spent_s)
        return slack_s

    def _cost_s(self, batch: Several[Chunk]) -> float:
        return self.costs.render_s(len(batch), max(chunk.token_count for chunk in batch))

    def _rank(self, sequence: Sequence) -> Rank:
        return rank(sequence, now_s=self.now_s, lead_s=self.config.lead_s)

    def _urgency(self, sequence: Sequence) -> tuple[Rank, float]:
        return urgency(sequence, now_s=self.now_s, lead_s=self.config.lead_s)


def _alike(one: Chunk, other: Chunk) -> bool:
    """Whether two chunks waste little when they are padded to one length."""
    if one.sequence.utterance.family != other.sequence.utterance.family:
        return False
    short, long = sorted((one.token_count, other.token_count))
    return 2 * short >= long
