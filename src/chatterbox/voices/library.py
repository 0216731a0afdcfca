"""VoiceLibrary: the voices at hand, one folder per voice.

    <root>/<id>/voice.json                    name, description, language, gender, families
    <root>/<id>/conditioning.safetensors      what the models hear of it

A voice that serves several families may keep one `conditioning.<family>.safetensors` for each.
"""

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from chatterbox.errors import CheckpointError, InvalidRequest, NotFound
from chatterbox.voices.voice import VOICE_ID, Voice, check_voice_id

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

log = logging.getLogger(__name__)

RESIDENT_CONDITIONINGS = 64  # kept in memory; well under 1 MB each


def bundled_voices() -> Path:
    """The folder of the voices that come with the package."""
    return Path(str(resources.files("chatterbox"))) / "assets" / "tiny" / "voices"


class VoiceLibrary:
    """Lists voices and loads their conditioning. Earlier roots win; safe from any thread.

    Folders are read when asked for, so that a voice added to a root is there at once.
    """

    def __init__(self, roots: Iterable[Path] | None = None) -> None:
        self._roots = tuple(roots) if roots is not None else (bundled_voices(),)
        self._resident: OrderedDict[tuple[str, str], Conditioning] = OrderedDict()
        self._lock = threading.Lock()

    def list(self) -> tuple[Voice, ...]:
        """Every voice, by id. A folder without a readable voice.json is passed over."""
        ids = {
            folder.name
            for root in self._roots
            if root.is_dir()
            for folder in root.iterdir()
            if VOICE_ID.fullmatch(folder.name) and (folder / "voice.json").is_file()
        }
        voices = []
        for voice_id in sorted(ids):
            try:
                voices.append(self.get(voice_id))
            except CheckpointError as error:  # one bad folder must not hide the others
                log.warning("a voice is passed over: %s", error)
        return tuple(voices)

    def get(self, voice_id: str) -> Voice:
        """One voice. Raises NotFound, or InvalidRequest for what cannot be an id."""
        return _read_voice(self._folder(voice_id))

    def default_for(self, family: str) -> Voice:
        """The voice spoken with when none is named: the first by id that suits the family."""
        for voice in self.list():
            if family in voice.families:
                return voice
        raise NotFound(f"no voice speaks with the model {family!r}", resource="voices/-")

    def conditioning(self, voice_id: str, family: str) -> "Conditioning":
        """What a voice contributes to a family's models, on the CPU.

        Raises NotFound, InvalidRequest when the voice does not suit the family, or
        CheckpointError when its file cannot be read.
        """
        key = (voice_id, family)
        with self._lock:
            if key in self._resident:
                self._resident.move_to_end(key)
                return self._resident[key]
        folder = self._folder(voice_id)
        if family not in _read_voice(folder).families:
            raise InvalidRequest(
                f"the voice {voice_id!r} does not speak with the model {family!r}",
                field="voice",
                reason="VOICE_MODEL_MISMATCH",
            )
        loaded = _read_conditioning(folder, family)
        with self._lock:
            self._resident[key] = loaded
            while len(self._resident) > RESIDENT_CONDITIONINGS:
                self._resident.popitem(last=False)
        return loaded

    def resident(self) -> tuple[str, ...]:
        """Ids of the voices whose conditioning is in memory, in their order."""
        with self._lock:
            return tuple(sorted({voice_id for voice_id, _ in self._resident}))

    def _folder(self, voice_id: str) -> Path:
        check_voice_id(voice_id)
        for root in self._roots:
            if (root / voice_id / "voice.json").is_file():
                return root / voice_id
        raise NotFound(f"there is no voice {voice_id!r}", resource=f"voices/{voice_id}")


def _read_voice(folder: Path) -> Voice:
    path = folder / "voice.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Voice(
            id=folder.name,
            display_name=str(facts.get("display_name") or folder.name.title()),
            description=str(facts.get("description", "")),
            language=str(facts.get("language", "en")),
            gender=str(facts.get("gender", "")),
            families=tuple(str(family) for family in facts["families"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not describe a voice: {error!r}") from error


def _read_conditioning(folder: Path, family: str) -> "Conditioning":
    # Here and not above: whoever only lists voices should not wait for torch.
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from chatterbox.models.conditioning import Conditioning

    own = folder / f"conditioning.{family}.safetensors"
    path = own if own.is_file() else folder / "conditioning.safetensors"
    try:
        return Conditioning.from_tensors(load_file(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as a voice: {error!r}") from error
