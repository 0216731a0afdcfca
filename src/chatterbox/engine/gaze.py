"""Gaze: where in its text T3 looks while it draws, for streams that want to know when words are said.

A few heads of a trained T3 attend to what is being spoken and to little else (`Family.alignment_heads`;
how they were found is in docs/experiments.md). A decode step keeps their queries, in place, so that
it can be recorded; the keys are in the cache already.
"""

import torch
from torch import Tensor

from chatterbox.engine.batch import Batch, Slots, Speaker
from chatterbox.models.t3.cache import KVCache


class Gaze:
    """The alignment heads' queries of every slot's latest sequence, by the place of the token."""

    def __init__(
        self,
        heads: tuple[tuple[int, int], ...],
        cache: KVCache,
        slots: Slots,
        *,
        most_tokens: int,
    ) -> None:
        """`heads` are (layer, head), at least one."""
        self._cache = cache
        self._rows_each = slots.rows_each
        device = cache.keys.device
        self._heads = {
            layer: torch.tensor([h for other, h in heads if other == layer], device=device)
            for layer, _ in heads
        }
        count, width = len(slots.tokens), cache.keys.shape[-1]
        self._queries = {
            layer: torch.zeros(count, most_tokens + 1, len(own), width, device=device)
            for layer, own in self._heads.items()
        }

    def note(self, layer: int, queries: Tensor, batch: Batch, drawn: Tensor) -> None:
        """Keep what a step asks in one layer: queries (rows, heads, 1, width).

        `drawn` (slots,) is the place of the token that the step draws.
        """
        heads = self._heads.get(layer)
        if heads is not None:
            asked = queries[batch.told].index_select(1, heads)[:, :, 0]
            self._queries[layer][batch.slot_numbers, drawn] = asked.float()

    def rows(self, speaker: Speaker, start: int, stop: int) -> Tensor:
        """How much each place of the text was looked at for tokens `start` to `stop`.

        (n, places), float32 on the CPU; each row sums to 1.
        """
        row = speaker.slot * self._rows_each
        looks = []
        for layer, heads in self._heads.items():
            queries = self._queries[layer][speaker.slot, start:stop]  # (n, heads, width)
            keys = self._cache.keys[layer][row, :, speaker.text].index_select(0, heads).float()
            scores = queries.transpose(0, 1) @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
            looks.append(scores.softmax(-1))
        return torch.cat(looks).mean(0).cpu()
