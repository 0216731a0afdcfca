"""T3Runner: draws speech tokens for every sequence in a slot, one step at a time.

A sequence's tokens depend on its text, voice, settings and seed alone: rows share nothing, and
random numbers are counted by (seed, position), not taken from a common stream.
"""

from collections.abc import Sequence as Several

import torch
from torch import Tensor

from chatterbox.engine import sampler
from chatterbox.engine.batch import Membership, Speaker
from chatterbox.engine.config import EngineConfig
from chatterbox.models.bundle import Models
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.t3.cache import KVCache
from chatterbox.models.t3.config import CONDITIONING_ROOM
from chatterbox.speech import Sampling


class T3Runner:
    """T3 of one family, with a cache for `config.slots` sequences. Used on one thread."""

    def __init__(self, models: Models, config: EngineConfig) -> None:
        t3 = models.t3.config
        self._models = models
        self._config = t3
        self._rows_per_slot = 2 if t3.guidance else 1
        prompt = t3.prompt_tokens if t3.perceiver_queries is None else 0
        self.max_text_tokens = config.max_text_tokens
        if t3.text_positions is not None:
            self.max_text_tokens = min(config.max_text_tokens, t3.text_positions - 2)
        self.max_speech_tokens = config.max_speech_tokens
        if t3.speech_positions is not None:
            self.max_speech_tokens = min(config.max_speech_tokens, t3.speech_positions - 1)
        length = CONDITIONING_ROOM + prompt + self.max_text_tokens + 2 + config.max_speech_tokens
        self._cache = KVCache(
            t3,
            rows=config.slots * self._rows_per_slot,
            max_length=min(length, t3.max_positions),
            device=models.device,
        )
        self._history = sampler.History(
            slots=config.slots,
            vocabulary=t3.speech_vocabulary,
            start=t3.start_speech,
            keeps_start=not models.family.penalty_last,
            device=models.device,
        )
        self._forbidden = _forbidden(t3.speech_vocabulary, t3.speech_codes, t3.stop_speech).to(
            models.device
        )
        self._membership: Membership | None = None
        self._unread: dict[Speaker, Tensor] = {}  # prefixes, until the first token is drawn
        self._scores: dict[Speaker, Tensor] = {}  # of the position read last

    def speaker(self, slot: int, sampling: Sampling, *, least_tokens: int) -> Speaker:
        """A new occupant of a slot; `sampling` is settled."""
        guided = self._config.guidance and bool(sampling.cfg_weight)
        return Speaker(slot=slot, sampling=sampling, guided=guided, least_tokens=least_tokens)

    @torch.inference_mode()
    def begin(self, speaker: Speaker, text_ids: Several[int], conditioning: T3Conditioning) -> int:
        """Embed text and voice; returns how many positions there are to read."""
        device = self._models.device
        text = torch.tensor([list(text_ids)], dtype=torch.int64, device=device)
        prefix = self._models.t3.prefix(text, conditioning, guided=speaker.guided)
        assert prefix.shape[1] + self.max_speech_tokens <= self._cache.max_length + 1
        self._history.begin(speaker.slot)
        self._unread[speaker] = prefix
        return prefix.shape[1]

    @torch.inference_mode()
    def read(self, speaker: Speaker, start: int, stop: int) -> None:
        """Read positions `start` to `stop` of the prefix; pieces come in order, without gaps."""
        prefix = self._unread[speaker]
        assert start == speaker.length < stop <= prefix.shape[1]
        rows = self._members([speaker]).rows
        self._scores[speaker] = self._models.t3(
            prefix[:, start:stop], self._cache, rows, torch.full_like(rows, start)
        )
        speaker.length = stop

    @torch.inference_mode()
    def first(self, speaker: Speaker) -> int | None:
        """The first token, once the whole prefix was read; None for an end."""
        assert speaker.length == self._unread.pop(speaker).shape[1], "the prefix was not read"
        return self._draw(self._members([speaker]), self._scores.pop(speaker))[0]

    def prefill(
        self, speaker: Speaker, text_ids: Several[int], conditioning: T3Conditioning
    ) -> int | None:
        """Begin, read everything at once, and draw the first token."""
        self.read(speaker, 0, self.begin(speaker, text_ids, conditioning))
        return self.first(speaker)

    @torch.inference_mode()
    def decode(self, speakers: Several[Speaker], steps: int = 1) -> list[tuple[int | None, ...]]:
        """Up to `steps` more tokens of each speaker, in their order; None, last, for an end."""
        drawn: dict[Speaker, tuple[int | None, ...]] = dict.fromkeys(speakers, ())
        for _ in range(steps):
            going = [speaker for speaker in speakers if None not in drawn[speaker]]
            if going:
                for speaker, token in zip(going, self._step(going), strict=True):
                    drawn[speaker] += (token,)
        return list(drawn.values())

    def forget(self, speaker: Speaker) -> None:
        """Let go of what is kept for a speaker, read or not."""
        self._unread.pop(speaker, None)
        self._scores.pop(speaker, None)

    def _step(self, speakers: Several[Speaker]) -> list[int | None]:
        """The next token of each speaker, in their order; None for an end."""
        members = self._membership
        if members is None or set(members.speakers) != set(speakers):
            members = self._membership = self._members(speakers)
        ordered = members.speakers
        tokens = members.gather([speaker.last_token for speaker in ordered])
        steps = members.gather([speaker.drawn for speaker in ordered])
        lengths = members.gather([speaker.length for speaker in ordered])
        embeds = self._models.t3.embed_speech(tokens, steps)
        logits = self._models.t3(
            embeds[members.owners], self._cache, members.rows, lengths[members.owners]
        )
        for speaker in ordered:
            speaker.length += 1
        drawn = dict(zip(ordered, self._draw(members, logits), strict=True))
        return [drawn[speaker] for speaker in speakers]

    def _members(self, speakers: Several[Speaker]) -> Membership:
        return Membership.of(
            speakers,
            rows_per_slot=self._rows_per_slot,
            vocabulary=self._config.speech_vocabulary,
            penalty_last=self._models.family.penalty_last,
            device=self._models.device,
        )

    def _draw(self, members: Membership, logits: Tensor) -> list[int | None]:
        """(rows, vocabulary) -> a token per speaker, noted in history and speaker."""
        scores = sampler.guide(logits[members.told], logits[members.untold], members.table)
        scores = scores.masked_fill(self._forbidden, float("-inf"))
        early = [speaker.drawn < speaker.least_tokens for speaker in members.speakers]
        if any(early):
            too_soon = torch.tensor(early, device=scores.device)
            scores[too_soon, self._config.stop_speech] = float("-inf")
        probabilities = sampler.process(scores, self._history.seen[members.slots], members.table)
        positions = members.gather([speaker.drawn for speaker in members.speakers])
        tokens = sampler.draw(probabilities, members.seeds, positions)
        self._history.add(members.slots, tokens)
        result: list[int | None] = []
        for speaker, token in zip(members.speakers, tokens.tolist(), strict=True):
            speaker.last_token = token
            speaker.drawn += 1
            result.append(None if token == self._config.stop_speech else token)
        return result


def _forbidden(vocabulary: int, codes: int, stop: int) -> Tensor:
    """True for ids that are neither speech nor the end: (vocabulary,)."""
    ids = torch.arange(vocabulary)
    return (ids >= codes) & (ids != stop)
