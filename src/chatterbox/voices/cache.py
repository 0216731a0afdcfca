"""ConditioningCache: what the voices heard last contribute to the models of one device."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

CAPACITY_BYTES = 64 * 1024 * 1024  # about three hundred voices of the official families

Key = tuple[str, str]  # of what is heard, and of the family that hears it


class ConditioningCache:
    """The least recently used make room. Safe from any thread."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._size_bytes = 0
        self._kept: OrderedDict[Key, tuple[Conditioning, str | None, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def recall(self, key: Key) -> "Conditioning | None":
        """What was kept under this key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Key, conditioning: "Conditioning", *, voice_id: str | None) -> None:
        """Keep a conditioning, of a voice that has a name or of one that has none."""
        size = sum(each.numel() * each.element_size() for each in conditioning.tensors().values())
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._size_bytes -= before[2]
            self._kept[key] = conditioning, voice_id, size
            self._size_bytes += size
            while self._size_bytes > self._capacity_bytes:
                _, (_, _, gone) = self._kept.popitem(last=False)
                self._size_bytes -= gone

    def voice_ids(self) -> tuple[str, ...]:
        """Of which named voices something is kept, in their order."""
        with self._lock:
            return tuple(sorted({each for _, each, _ in self._kept.values() if each is not None}))
