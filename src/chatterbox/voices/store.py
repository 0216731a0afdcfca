"""VoiceStore: where voices are kept. A voice is a few small files under one id."""

from collections.abc import Hashable, Mapping
from typing import Protocol

VOICE_JSON = "voice.json"
REFERENCE = "reference.safetensors"
CONDITIONING = "conditioning.safetensors"


def conditioning_name(family: str) -> str:
    """The file of a conditioning that belongs to one family."""
    return f"conditioning.{family}.safetensors"


class VoiceStore(Protocol):
    """Files of voices by the voice's id and the file's name. Blocking, and safe from any thread.

    A voice becomes visible as a whole and disappears as a whole. Several processes, on several
    machines, may use one store at once. Every method raises StorageFailed when the store cannot be
    reached. Made for a folder; an object store can do it with conditional writes of voice.json.
    """

    @property
    def is_read_only(self) -> bool: ...

    def generation(self) -> Hashable | None:
        """Cheap: the same as before only if nothing has changed since; None if that is not sure."""

    def stamps(self) -> Mapping[str, Hashable]:
        """Every voice's id, with what differs when its voice.json has changed."""

    def read(self, voice_id: str, name: str) -> bytes:
        """A file of a voice; raises NotFound."""

    def names(self, voice_id: str) -> tuple[str, ...]:
        """The names of a voice's files; raises NotFound."""

    def create(self, voice_id: str, files: Mapping[str, bytes]) -> None:
        """Keep a new voice; raises AlreadyExists or StorageFull, and has then kept nothing."""

    def replace(self, voice_id: str, name: str, content: bytes) -> None:
        """Put a file of a voice in the place of another; raises NotFound or StorageFull."""

    def delete(self, voice_id: str) -> None:
        """Remove a voice; raises NotFound."""
