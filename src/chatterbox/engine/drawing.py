"""Drawing: whose text is read and whose tokens are drawn in the device's next turn."""

from collections.abc import Sequence as Several
from dataclasses import dataclass

from chatterbox.engine.capacity import Costs
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.plan import Plan, Prefill
from chatterbox.engine.sequence import Phase, Sequence
from chatterbox.engine.slack import Slack
from chatterbox.engine.urgency import Rank, rank, urgency

_TIGHT_S = 0.3  # less slack than this is no time for what can wait


@dataclass(frozen=True, slots=True)
class Drawing:
    """The choice at `now_s`, with what work costs by then."""

    config: EngineConfig
    costs: Costs
    now_s: float

    def choose(
        self, running: Several[Sequence], voicing: Several[Sequence], *, slots_wanted: bool
    ) -> Plan:
        """A bounded piece of what is to be read, tokens for the rest.

        While somebody is short of time, whoever can wait pauses; but not where others wait for
        the slots (`slots_wanted`), which are free only at the end of an utterance.
        """
        slack = Slack(self.config, self.costs, self.now_s, len(running))
        heard = [s for s in (*running, *voicing) if s.is_heard and s.listener is not None]
        least_s = min(map(slack.of, heard), default=float("inf"))
        first = [s for s in running if self._rank(s) is Rank.FIRST]
        taking_part = sorted(running, key=self._urgency)
        if (first or least_s < _TIGHT_S) and not slots_wanted:
            low_s = self.config.low_lead_s
            taking_part = [s for s in taking_part if s in first or slack.of(s) <= low_s]
        decode = tuple(s for s in taking_part if s.phase is Phase.SPEAKING)
        prefill = self._pieces(taking_part, self._positions(least_s))
        return Plan(prefill, decode, self._steps(decode, first))

    def _pieces(self, sequences: Several[Sequence], positions: int) -> tuple[Prefill, ...]:
        pieces: list[Prefill] = []
        for sequence in sequences:
            if sequence.phase is Phase.READING and positions > 0:
                start, end = sequence.read_count, sequence.position_count
                stop = min(end, start + positions)
                pieces.append(Prefill(sequence, start, stop, is_last=stop == end))
                positions -= stop - start
        return tuple(pieces)

    def _positions(self, least_s: float) -> int:
        """How much may be read: so little that nobody who is heard notices, but not nothing."""
        most, position_s = self.config.prefill_positions, self.costs.position_s
        if position_s == 0.0 or least_s == float("inf"):
            return most
        return max(1, most // 8, min(most, int(least_s / 2 / position_s)))

    def _steps(self, decode: Several[Sequence], first: Several[Sequence]) -> int:
        """As many as the host may be without news, and not beyond what a first sound needs.

        The device has room for `max_speech_tokens` of each and no more.
        """
        config = self.config
        enough = config.chunk_ends[0] + config.margin_tokens
        missing = [enough - len(s.tokens) for s in first if 0 < len(s.tokens) < enough]
        room = [config.max_speech_tokens - len(s.tokens) for s in decode]
        return min([config.steps_per_sync, *missing, *room])

    def _rank(self, sequence: Sequence) -> Rank:
        return rank(sequence, now_s=self.now_s, lead_s=self.config.lead_s)

    def _urgency(self, sequence: Sequence) -> tuple[Rank, float]:
        return urgency(sequence, now_s=self.now_s, lead_s=self.config.lead_s)
