"""DecodeStep: one more token for every live slot of a batch, all of it on the device.

Nothing here depends on the data but through tensors: no shapes, no branches, nothing read back.
A GPU can record a step once and replay it; the host only learns the tokens.
"""

import functools
from collections.abc import Sequence as Several

import torch
from torch import Tensor

from chatterbox.engine import sampler
from chatterbox.engine.batch import Batch, Slots
from chatterbox.engine.gaze import Gaze
from chatterbox.models.kernels.attention import KernelStepping, has_kernel
from chatterbox.models.kernels.draw import KernelDraw
from chatterbox.models.kernels.draw import has_kernel as has_draw_kernel
from chatterbox.models.kernels.program import can_repeat, recorded
from chatterbox.models.layers.transformer import Memory
from chatterbox.models.t3.cache import KVCache, Run, Stepping, Watch
from chatterbox.models.t3.model import T3


class DecodeStep:
    """T3, its cache and the slots. One that is `recorded` must not look at the data on its way."""

    def __init__(
        self,
        t3: T3,
        cache: KVCache,
        slots: Slots,
        *,
        recorded: bool,
        gaze: Gaze | None = None,
    ) -> None:
        config = t3.config
        self.t3 = t3
        self.cache = cache
        self.slots = slots
        self._gaze = gaze
        self._recorded = recorded
        # A recording has the runs of its shapes only, and they are not even.
        self._has_kernel = not recorded and has_kernel(cache)
        self._repeats = self._has_kernel and can_repeat(
            t3.backbone.blocks, t3.backbone.norm, t3.speech_head
        )
        self._pass: tuple[Batch, _Pass] | None = None  # recorded last
        self._draw: KernelDraw | None = None
        if not recorded and has_draw_kernel(slots.tokens.device):
            self._draw = KernelDraw(
                slots.columns(),
                codes=config.speech_codes,
                stop=config.stop_speech,
                start=slots.history.start,
                penalty_last=slots.table.penalty_last,
                keeps_start=slots.history.keeps_start,
            )
        self._stop = config.stop_speech
        self._vocabulary = speakable(config.speech_codes, config.stop_speech)
        ids = torch.arange(self._vocabulary, device=slots.tokens.device)
        self._forbidden = (ids >= config.speech_codes) & (ids != config.stop_speech)

    def __call__(self, batch: Batch, runs: Several[Run]) -> Tensor:
        """The tokens drawn, or drawn last by those not called or not live: (slots,)."""
        slots = self.slots
        lengths = slots.lengths[batch.slots]
        drawn = slots.drawn[batch.slots]
        embeds = self.t3.embed_speech(slots.tokens[batch.slots], drawn)
        positions = lengths[batch.owners][:, None]
        watch = None
        if self._gaze is not None and batch.watched:
            watch = functools.partial(self._gaze.note, batch=batch, drawn=drawn)
        x, places = self.t3.backbone.place(embeds[batch.owners], positions)
        if self._repeats and watch is None:
            logits = self._repeated(batch, x, places, runs)
        else:
            memory = self._memory(runs, batch.addresses, positions, watch)
            logits = self.t3.scores(x, places, memory)
        slots.lengths[batch.slots] = lengths + self._going(batch)
        return self.draw(batch, logits)

    def _repeated(self, batch: Batch, x: Tensor, places: Tensor, runs: Several[Run]) -> Tensor:
        """The scores, by the program of this batch's pass; its first step makes it."""
        if self._pass is not None and self._pass[0] is batch:
            return self._pass[1].again(x, places, runs)
        made = _Pass(self.t3, KernelStepping(self.cache, runs), x, places)
        self._pass = (batch, made) if made.program.is_whole else None
        self._repeats = made.program.is_whole
        return made.scores

    def _memory(
        self, runs: Several[Run], addresses: Tensor, positions: Tensor, watch: Watch | None
    ) -> Memory:
        if self._has_kernel:
            return KernelStepping(self.cache, runs, watch)
        return Stepping(self.cache, runs, addresses, positions, watch)

    def draw(self, batch: Batch, logits: Tensor) -> Tensor:
        """(rows, vocabulary) scores -> (slots,) tokens, noted in the slots."""
        if self._draw is not None and batch.places is not None:
            return self._draw.draw(batch.places, logits.float())
        slots, where = self.slots, batch.slots
        going, drawn, before = self._going(batch), slots.drawn[where], slots.tokens[where]
        scores = self._scores(batch, logits, drawn < slots.least[where])
        candidates = sampler.shortlist(
            scores, slots.history.seen[where], batch.table, narrow=not self._recorded
        )
        tokens = sampler.draw(candidates, slots.seeds[where], drawn)
        tokens = torch.where(going, tokens, before)
        slots.history.add(batch.slot_numbers, tokens, going)
        slots.drawn[where] = drawn + going
        slots.tokens[where] = tokens
        slots.live[where] = slots.live[where] & ~(going & (tokens == self._stop))
        return tokens

    def _going(self, batch: Batch) -> Tensor:
        """Who is to draw: (slots,) bool."""
        live = self.slots.live[batch.slots]
        return live if batch.called is None else live & batch.called

    def _scores(self, batch: Batch, logits: Tensor, too_soon: Tensor) -> Tensor:
        """Guided, and without what must not be drawn: (slots, vocabulary)."""
        logits = logits[:, : self._vocabulary].float()
        scores = logits[batch.told]
        if batch.untold is not None:
            untold = logits[batch.untold]
            if batch.guided is not None:
                untold = torch.where(batch.guided, untold, scores)
            scores = sampler.guide(scores, untold, batch.table)
        scores = scores.masked_fill(self._forbidden, float("-inf"))
        scores[:, self._stop].masked_fill_(too_soon, float("-inf"))
        return scores


class _Pass:
    """A pass through T3 with what it reads, and the program that repeats it."""

    def __init__(self, t3: T3, memory: KernelStepping, x: Tensor, places: Tensor) -> None:
        self._memory = memory
        self._x, self._places = x.clone(), places.clone()
        with recorded() as self.program:
            self.scores = t3.scores(self._x, self._places, memory)

    def again(self, x: Tensor, places: Tensor, runs: Several[Run]) -> Tensor:
        """The scores of other numbers, which are overwritten by the next."""
        self._x.copy_(x)
        self._places.copy_(places)
        self._memory.move(runs)
        self.program.run()
        return self.scores


def speakable(codes: int, stop: int) -> int:
    """How many of the vocabulary's first ids include all that may be drawn."""
    return max(codes, stop + 1)
