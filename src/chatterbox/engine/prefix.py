"""Prefix: what a newcomer has yet to read, its voice and then its text, in pieces.

A voice comes first and depends on nothing after it, so its keys and values are the same in every
utterance and in both rows of guidance: they are read once and remembered.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from chatterbox.models.conditioning import T3Conditioning

# Prefixes are read in pieces of so many positions, wherever the scheduler pauses: the last bits
# of a product depend on how many rows it has, and the same request must give the same speech.
PIECE = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """Positions that are read together."""

    embeds: Tensor  # (rows, n, dim); a voice has one row, a guided text two
    start: int  # the first one's place in the cache
    ends_voice: bool

    @property
    def stop(self) -> int:
        return self.start + self.embeds.shape[1]


class Prefix:
    """The pieces of one newcomer that were not read yet."""

    def __init__(self, voice: Tensor | None, script: Tensor, *, known: int = 0) -> None:
        """`voice` (1, n, dim) is None where the first `known` positions need not be read."""
        start = known if voice is None else voice.shape[1]
        self._known = known
        self._pieces = deque([] if voice is None else _pieces(voice, 0, is_voice=True))
        self._pieces.extend(_pieces(script, start, is_voice=False))
        self.position_count = start + script.shape[1] - known

    @property
    def is_read(self) -> bool:
        return not self._pieces

    def due(self, stop: int) -> Iterator[Piece]:
        """What may be read when the first `stop` of the positions may: whole pieces, each once."""
        while self._pieces and self._pieces[0].stop <= self._known + stop:
            yield self._pieces.popleft()


def _pieces(embeds: Tensor, start: int, *, is_voice: bool) -> Iterator[Piece]:
    length = embeds.shape[1]
    for first in range(0, length, PIECE):
        part = embeds[:, first : first + PIECE]
        yield Piece(part, start + first, is_voice and first + PIECE >= length)


class VoiceMemory:
    """The keys and values of the voices read last, up to `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._voices: OrderedDict[bytes, Tensor] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return sum(voice.numel() * voice.element_size() for voice in self._voices.values())

    def recall(self, key: bytes) -> Tensor | None:
        """What `KVCache.copy` gave of the voice, or None."""
        voice = self._voices.get(key)
        if voice is not None:
            self._voices.move_to_end(key)
        return voice

    def keep(self, key: bytes, voice: Tensor) -> None:
        """Remember a voice, if it fits at all; those not heard for longest make room."""
        if voice.numel() * voice.element_size() > self._capacity_bytes:
            return
        self._voices[key] = voice
        while self.size_bytes > self._capacity_bytes:
            self._voices.popitem(last=False)


def voice_key(conditioning: T3Conditioning) -> bytes:
    """The same for two voices if T3 hears them alike, and only then."""
    digest = sha256(repr(conditioning.exaggeration).encode())
    for tensor in (conditioning.speaker_embedding, conditioning.prompt_tokens):
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.digest()
