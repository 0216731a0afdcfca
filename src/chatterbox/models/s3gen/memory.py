"""Memory: what a network keeps of the frames before, so that a chunk need not render them again.

Causal convolutions keep the last few frames of their input, attention keeps keys and values: all
of the voice's prompt, and a window of what was said. A `Memory` is one row's, a value; a `Recall`
is the memory of a batch of rows during one pass, and collects what they will remember next.
CosyVoice 2 was trained under such block-causal masks (arXiv:2412.10117, section 2.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.models.kernels import pages
from chatterbox.models.kernels import window as kernel
from chatterbox.models.transfer import integers


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryShape:
    """What one network remembers: its layers of attention and its causal convolutions."""

    layers: int
    heads: int
    head_dim: int
    channels: int  # of all causal convolutions together
    taps: int  # frames before the first that each of them reads
    rows: int = 1  # of the network per row of speech: two under guidance


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One row's memory of one network, or a batch of them, the batch before `rows`."""

    keys_values: Tensor  # (layers, 2, [batch,] rows, heads, window, head_dim), right-aligned
    tails: Tensor  # ([batch,] rows, channels, taps)

    @classmethod
    def blank(cls, shape: MemoryShape, window: int, like: Tensor) -> "Memory":
        """Nothing heard yet: silence before the first frame."""
        size = (shape.layers, 2, shape.rows, shape.heads, window, shape.head_dim)
        return cls(
            keys_values=pages.zeros(size, like.dtype, like.device),
            tails=like.new_zeros(shape.rows, shape.channels, shape.taps),
        )

    @property
    def window(self) -> int:
        return self.keys_values.shape[-2]

    @property
    def size_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.keys_values, self.tails))

    def recent(self, window: int) -> "Memory":
        """The same with room for `window` frames: older ones are dropped, silence is put before."""
        *lead, held, width = self.keys_values.shape
        kept = self.keys_values.new_zeros(*lead, window, width)
        n = min(window, held)
        kept[..., window - n :, :] = self.keys_values[..., held - n :, :]
        return Memory(keys_values=kept, tails=self.tails)

    def spread(self, batch: int) -> "Memory":
        """This one row's memory for every row of a batch, without a copy."""
        many, tails = self.keys_values.unsqueeze(2), self.tails
        return Memory(
            keys_values=many.expand(-1, -1, batch, -1, -1, -1, -1),
            tails=tails.expand(batch, -1, -1, -1),
        )

    def copied(self, rows: int) -> "Memory":
        """The first rows of a batch, in storage of their own."""
        contiguous = torch.contiguous_format
        return Memory(
            keys_values=self.keys_values[:, :, :rows].clone(memory_format=contiguous),
            tails=self.tails[:rows].clone(memory_format=contiguous),
        )

    @classmethod
    def stack(cls, rows: Sequence["Memory"]) -> "Memory":
        """Memories of one window as a batch."""
        return cls(
            keys_values=torch.stack([row.keys_values for row in rows], dim=2),
            tails=torch.stack([row.tails for row in rows]),
        )

    def unstack(self) -> list["Memory"]:
        """The rows of a batch, each with storage of its own."""
        if self.tails.shape[0] == 1:
            return [Memory(keys_values=self.keys_values.squeeze(2), tails=self.tails.squeeze(0))]
        return [
            Memory(keys_values=kept.contiguous(), tails=tail.clone())
            for kept, tail in zip(self.keys_values.unbind(2), self.tails, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How many frames the rows of a batch have: all (batch,) int64 on the device.

    `past` and `prompt` are valid at the right end of their tensors, `new` at the left end.
    """

    prompt: Tensor
    past: Tensor
    new: Tensor
    kept: Tensor  # of the new ones, those that will be remembered; the rest is look-ahead
    even_kept: int | None  # `kept` where all rows are alike and nothing is to be masked

    @classmethod
    def of(
        cls,
        *,
        prompt: Sequence[int],
        past: Sequence[int],
        new: Sequence[int],
        kept: Sequence[int],
        device: torch.device,
    ) -> "Extent":
        def counts(values: Sequence[int]) -> Tensor:
            return integers(values, device)

        even = all(len(set(values)) == 1 for values in (prompt, past, new, kept))
        return cls(
            prompt=counts(prompt),
            past=counts(past),
            new=counts(new),
            kept=counts(kept),
            even_kept=kept[0] if even else None,
        )

    @property
    def even(self) -> bool:
        """Whether all rows are alike, and nothing is to be masked."""
        return self.even_kept is not None

    def scaled(self, factor: int) -> "Extent":
        """The same at another frame rate."""
        return Extent(
            prompt=self.prompt * factor,
            past=self.past * factor,
            new=self.new * factor,
            kept=self.kept * factor,
            even_kept=None if self.even_kept is None else self.even_kept * factor,
        )


class Recall:
    """One pass of one network over a batch; its layers ask in the order in which they run."""

    def __init__(
        self,
        memory: Memory,
        prompt: Memory,
        extent: Extent,
        *,
        seen: int,
        fresh: int,
    ) -> None:
        """`memory` and `prompt` are batches; `seen` frames of the window are looked at, `fresh`
        frames come in."""
        self.extent = extent
        self._past = memory.keys_values.flatten(2, 3)
        self._prompt = prompt.keys_values  # may be one voice's for all rows: not flattened here
        self._tails = memory.tails.flatten(0, 1)
        self._shape = memory.keys_values.shape, memory.tails.shape
        self._seen, self._fresh = seen, fresh
        self._rows = memory.tails.shape[1]
        self._next_past = pages.empty(self._past.shape, self._past.dtype, self._past.device)
        self._next_tails = torch.empty_like(self._tails)
        self._layer = self._channel = 0
        self._kept = self._per_row(extent.kept)
        self.key_mask = None if extent.even else self._key_mask()
        self._kernel: kernel.WindowKernel | None = None

    def _per_row(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self._rows, dim=0)

    def _key_mask(self) -> Tensor:
        """(batch * rows, keys): False where a place holds nothing."""
        extent = self.extent

        def right_aligned(size: int, counts: Tensor) -> Tensor:
            return torch.arange(size, device=counts.device) >= size - counts[:, None]

        prompt = right_aligned(self._prompt.shape[-2], extent.prompt)
        past = right_aligned(self._seen, extent.past)
        fresh = torch.arange(self._fresh, device=extent.new.device) < extent.new[:, None]
        return self._per_row(torch.cat([prompt, past, fresh], dim=1))

    def distances(self) -> Tensor:
        """How far each key lies behind each query: (batch or 1, fresh, keys), in frames.

        The window follows the prompt at once, however much was said between: so distances stay
        within what the network was trained on.
        """
        device = self.extent.past.device

        def places(size: int) -> Tensor:
            return torch.arange(-size, 0, device=device)

        count = 1 if self.extent.even else len(self.extent.past)
        past = places(self._seen).expand(count, -1)
        prompt = places(self._prompt.shape[-2]) - self.extent.past[:count, None]
        fresh = torch.arange(self._fresh, device=device)
        keys = torch.cat([prompt, past, fresh.expand(count, -1)], dim=1)
        return fresh[None, :, None] - keys[:, None]

    @property
    def reach(self) -> tuple[int, int]:
        """The greatest and the least of `distances`."""
        fresh = self._fresh - 1
        return fresh + self._seen + self._prompt.shape[-2], -fresh

    def precede(self, x: Tensor) -> Tensor:
        """(batch * rows, channels, fresh) -> the same with the frames before it in front."""
        channels, taps = x.shape[1], self._tails.shape[-1]
        mine = slice(self._channel, self._channel + channels)
        self._channel += channels
        tails = self._tails[:, mine]
        if x.transpose(1, 2).is_contiguous():  # so it is to stay
            joined = torch.cat([tails.transpose(1, 2), x.transpose(1, 2)], dim=1).transpose(1, 2)
        else:
            joined = torch.cat([tails, x], dim=-1)
        self._next_tails[:, mine] = self._after(joined, taps, dim=2)
        return joined

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """New (batch * rows, heads, fresh, head_dim) -> what they see of prompt, window and new."""
        if kernel.has_kernel(queries):
            return self._attend(queries, keys, values)
        keys, values = self.extend(keys, values)
        mask = None if self.key_mask is None else self.key_mask[:, None, None]
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)

    def attend_at_distances(
        self, queries: Tensor, keys: Tensor, values: Tensor, distances: kernel.Distances
    ) -> Tensor:
        """As `attend`, with scores that depend on the distance; only where there is a kernel."""
        return self._attend(queries, keys, values, distances)

    def _attend(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        distances: kernel.Distances | None = None,
    ) -> Tensor:
        layer, extent = self._layer, self.extent
        self._layer += 1
        if self._kernel is None:
            counts = torch.stack([extent.prompt, extent.past, extent.new, extent.kept])
            prompt, past, new, kept = counts.tolist()
            self._kernel = kernel.WindowKernel(
                kernel.Counts(prompt=prompt, past=past, new=new, kept=kept),
                group_rows=self._rows,
                prompt_size=self._prompt.shape[-2],
                window=self._past.shape[-2],
            )
        remembered = kernel.Remembered(
            self._prompt[layer], self._past[layer], self._next_past[layer]
        )
        return self._kernel.attend(queries, keys, values, remembered, distances)

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """New (batch * rows, heads, fresh, head_dim) -> with prompt and window in front."""
        layer = self._layer
        self._layer += 1
        return self._extend(layer, 0, keys), self._extend(layer, 1, values)

    def _extend(self, layer: int, which: int, new: Tensor) -> Tensor:
        past, prompt = self._past[layer, which], self._prompt[layer, which].flatten(0, 1)
        window, seen = past.shape[-2], self._seen
        joined = torch.cat([prompt, past[..., window - seen :, :], new], dim=2)
        before = prompt.shape[-2]
        if seen == window:
            recent = joined[:, :, before:]
        else:  # the window is not full: what is not looked at need not be right
            recent = torch.cat([past[..., : window - seen, :], joined[:, :, before:]], dim=2)
        self._next_past[layer, which] = self._after(recent, window, dim=2)
        return joined

    def _after(self, joined: Tensor, size: int, *, dim: int) -> Tensor:
        """Of each row of `joined`, which begins `size` frames back, the last `size` to be kept."""
        if self.extent.even_kept is not None:
            return joined.narrow(dim, self.extent.even_kept, size)
        places = self._kept[:, None] + torch.arange(size, device=joined.device)
        shape = [1] * joined.dim()
        shape[0], shape[dim] = places.shape
        expanded = list(joined.shape)
        expanded[dim] = size
        return joined.gather(dim, places.view(shape).expand(expanded))

    def memory(self) -> Memory:
        """What the rows remember after the pass, as a batch."""
        assert self._layer == len(self._next_past), "every layer was asked"
        assert self._channel == self._next_tails.shape[1], "every convolution was asked"
        past, tails = self._shape
        return Memory(keys_values=self._next_past.view(past), tails=self._next_tails.view(tails))
