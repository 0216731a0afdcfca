"""VoiceLibrary: the voices at hand, from folders that came with the installation and a store."""

import logging
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatterbox.audio.clip import Clip
from chatterbox.errors import (
    AlreadyExists,
    CheckpointError,
    InvalidRequest,
    NotFound,
    ReadOnly,
    StorageFailed,
)
from chatterbox.voices.cache import ConditioningCache
from chatterbox.voices.facts import read_voice, voice_json
from chatterbox.voices.folder_store import FolderStore
from chatterbox.voices.store import (
    CONDITIONING,
    REFERENCE,
    VOICE_JSON,
    VoiceStore,
    conditioning_name,
)
from chatterbox.voices.tensors import read_conditioning, read_reference
from chatterbox.voices.voice import Voice, check_voice_id

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

log = logging.getLogger(__name__)

POLL_S = 0.5  # between two looks at the stores while they are watched
PATIENCE_S = 0.2  # with a store that does not answer, such as a network folder that is away
RESCAN_S = 10.0  # after which every voice is looked at, whatever a store says


def bundled_voices() -> Path:
    """The folder of the voices that come with the package."""
    return Path(str(resources.files("chatterbox"))) / "assets" / "tiny" / "voices"


class VoiceLibrary:
    """Lists voices, loads what models hear of them, and keeps new ones. Safe from any thread.

    The store wins over the roots, and earlier roots over later ones. While `watching`, a thread
    looks at the stores and reading a voice's facts touches no disk, unless asked for `anew`;
    otherwise they are looked at when asked for. A voice that is not known is looked for, so that
    one made elsewhere is there at once; a change or a removal is seen within `POLL_S`.
    """

    def __init__(
        self, roots: Iterable[Path] | None = None, *, store: VoiceStore | None = None
    ) -> None:
        """`roots` are read only, by default the bundled voices alone; new voices go to `store`."""
        folders = tuple(roots) if roots is not None else (bundled_voices(),)
        fixed = [FolderStore(root, is_read_only=True) for root in folders]
        self.cache = ConditioningCache()
        self._store = store
        # What users have made is not hidden by what a later version brings along.
        self._shelves = tuple(_Shelf(each) for each in (*([store] if store else []), *fixed))
        self._watcher: threading.Thread | None = None
        self._looking = threading.Lock()

    def list(self, *, anew: bool = False) -> tuple[Voice, ...]:
        """Every voice, by id. A folder without a readable voice.json is passed over.

        With `anew` the stores are looked at first, so that what another process has changed is
        seen at once, unless a store does not answer.
        """
        found: dict[str, Voice] = {}
        for shelf in reversed(self._fresh(anew=anew)):
            found |= {
                voice_id: voice
                for voice_id, voice in shelf.voices.items()
                if isinstance(voice, Voice)
            }
        return tuple(found[voice_id] for voice_id in sorted(found))

    def get(self, voice_id: str, *, anew: bool = False) -> Voice:
        """One voice, `anew` as in `list`. Raises NotFound, or InvalidRequest for no possible id."""
        check_voice_id(voice_id)
        self._fresh(anew=anew)
        return self._find(voice_id)[0]

    def default_for(self, family: str) -> Voice:
        """The voice spoken with when none is named: the first by id that suits the family.

        One that came with the installation, if any suits: the default is not for users to change.
        """
        fitting = [voice for voice in self.list() if voice.suits(family)]
        if not fitting:
            raise NotFound(f"no voice speaks with the model {family!r}", resource="voices/-")
        return min(fitting, key=lambda voice: (not voice.is_read_only, voice.id))

    def conditioning(self, voice_id: str, family: str) -> "Conditioning":
        """What a voice contributes to a family's models, as it was stored, on the CPU.

        Raises NotFound, InvalidRequest when nothing is stored for the family, or CheckpointError
        when its file cannot be read.
        """
        voice, store = self._find(voice_id)
        if family not in voice.families:
            raise mismatch(voice, family)
        # A voice that is replaced by another of its id has another time.
        key = (f"{voice_id}@{voice.updated_s}", family)
        kept = self.cache.recall(key)
        if kept is None:
            kept = read_conditioning(_stored_conditioning(store, voice_id, family), family)
            self.cache.keep(key, kept, voice_id=voice_id)
        return kept

    def reference(self, voice: Voice) -> Clip:
        """The recording a voice is made from; raises NotFound or CheckpointError."""
        return read_reference(self._find(voice.id)[1].read(voice.id, REFERENCE))

    def resident(self) -> tuple[str, ...]:
        """Ids of the voices whose conditioning is in memory, in their order."""
        return self.cache.voice_ids()

    def files(self, voice_id: str) -> dict[str, bytes]:
        """Everything that is stored of a voice; raises NotFound."""
        _, store = self._find(voice_id)
        return {name: store.read(voice_id, name) for name in store.names(voice_id)}

    def check_new(self, voice_id: str) -> None:
        """Raise what `add` would raise because of the id: AlreadyExists, ReadOnly, InvalidRequest."""
        check_voice_id(voice_id, field="voice_id")
        if self._store is None:
            raise ReadOnly("this server keeps no voices: it was given no folder for them")
        # Looked at twice: another process may have removed it just now.
        if self._shelf_of(voice_id) is not None and self._shelf_of(voice_id, anew=True) is not None:
            raise AlreadyExists(
                f"there is a voice {voice_id!r} already", resource=f"voices/{voice_id}"
            )

    def add(self, voice: Voice, files: Mapping[str, bytes]) -> Voice:
        """Keep a new voice with its recording or conditioning; returns it as it is kept.

        Raises what `check_new` raises, StorageFull or StorageFailed; nothing is kept then.
        """
        self.check_new(voice.id)
        assert self._store is not None, "checked"
        now_s = time.time()
        facts = voice_json(replace(voice, created_s=now_s, updated_s=now_s))
        self._store.create(voice.id, {VOICE_JSON: facts, **files})
        self.look()
        return read_voice(voice.id, facts, is_read_only=False)

    def update(self, voice_id: str, changes: Mapping[str, Any]) -> Voice:
        """Change facts of a voice; raises NotFound, ReadOnly, StorageFull or StorageFailed."""
        store = self._find_changeable(voice_id)
        # As it is now, which may be newer than what was seen last.
        voice = read_voice(voice_id, store.read(voice_id, VOICE_JSON), is_read_only=False)
        facts = voice_json(replace(voice, **changes, updated_s=time.time()))
        store.replace(voice_id, VOICE_JSON, facts)
        self.look()
        return read_voice(voice_id, facts, is_read_only=False)

    def delete(self, voice_id: str) -> None:
        """Remove a voice; raises NotFound, ReadOnly or StorageFailed."""
        self._find_changeable(voice_id).delete(voice_id)
        self.look()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the stores every `POLL_S` on a thread of its own while the context lasts."""
        stopped = threading.Event()

        def watch() -> None:
            while not stopped.wait(POLL_S):
                try:
                    self.look()
                except Exception:  # a bug must not end the watch
                    log.exception("the voices could not be looked at")

        self.look()
        self._watcher = threading.Thread(target=watch, name="voices", daemon=True)
        self._watcher.start()
        try:
            yield
        finally:
            stopped.set()
            self._watcher = None

    def look(self, *, patience_s: float = -1.0) -> None:
        """See now what has changed in the stores; not if another look lasts for `patience_s`."""
        if self._looking.acquire(timeout=patience_s):
            try:
                for shelf in self._shelves:
                    shelf.look()
            finally:
                self._looking.release()

    def _fresh(self, *, anew: bool = False) -> "tuple[_Shelf, ...]":
        if self._watcher is None:
            self.look()
        elif anew:
            self.look(patience_s=PATIENCE_S)
        return self._shelves

    def _find(self, voice_id: str) -> tuple[Voice, VoiceStore]:
        check_voice_id(voice_id)
        # Looked at twice: another process may have made it just now.
        shelf = self._shelf_of(voice_id) or self._shelf_of(voice_id, anew=True)
        found = None if shelf is None else shelf.voices.get(voice_id)
        if shelf is None or found is None:
            raise NotFound(f"there is no voice {voice_id!r}", resource=f"voices/{voice_id}")
        if not isinstance(found, Voice):
            raise type(found)(found.message)
        return found, shelf.store

    def _shelf_of(self, voice_id: str, *, anew: bool = False) -> "_Shelf | None":
        shelves = self._fresh(anew=anew)
        return next((shelf for shelf in shelves if voice_id in shelf.voices), None)

    def _find_changeable(self, voice_id: str) -> VoiceStore:
        _, store = self._find(voice_id)
        if store.is_read_only:
            raise ReadOnly(f"the voice {voice_id!r} came with the installation and stays as it is")
        return store


class _Shelf:
    """The voices of one store as they were seen last; replaced as a whole, never changed."""

    def __init__(self, store: VoiceStore) -> None:
        self.store = store
        self.voices: Mapping[str, Voice | CheckpointError | StorageFailed] = {}
        self._stamps: Mapping[str, Hashable] = {}
        self._generation: Hashable | None = None
        self._scanned_s = 0.0
        self._problem = ""

    def look(self) -> None:
        """Read what has changed. A store that cannot be reached leaves everything as it was."""
        try:
            generation = self.store.generation()
            is_old = time.monotonic() - self._scanned_s > RESCAN_S
            if generation is None or generation != self._generation or is_old:
                self._scan()
                self._generation = generation
            self._problem = ""
        except StorageFailed as error:
            if error.message != self._problem:  # once, and not twice a second
                log.warning("voices cannot be looked at: %s", error.message)
            self._problem = error.message

    def _scan(self) -> None:
        stamps = self.store.stamps()
        voices: dict[str, Voice | CheckpointError | StorageFailed] = {}
        for voice_id, stamp in stamps.items():
            known = self.voices.get(voice_id)
            is_sure = isinstance(known, Voice | CheckpointError)
            if known is not None and is_sure and stamp == self._stamps.get(voice_id):
                voices[voice_id] = known
            else:
                with suppress(NotFound):  # removed since it was listed
                    voices[voice_id] = self._read(voice_id)
        self.voices = voices
        self._stamps, self._scanned_s = stamps, time.monotonic()

    def _read(self, voice_id: str) -> Voice | CheckpointError | StorageFailed:
        try:
            content = self.store.read(voice_id, VOICE_JSON)
            return read_voice(voice_id, content, is_read_only=self.store.is_read_only)
        except (CheckpointError, StorageFailed) as error:  # it must not hide the others
            log.warning("a voice is passed over: %s", error)
            return error


def mismatch(voice: Voice, family: str) -> InvalidRequest:
    """Why a voice cannot be spoken with by a family."""
    return InvalidRequest(
        f"the voice {voice.id!r} does not speak with the model {family!r}",
        field="voice",
        reason="VOICE_MODEL_MISMATCH",
    )


def _stored_conditioning(store: VoiceStore, voice_id: str, family: str) -> bytes:
    """The family's own file, or else the one for all."""
    names = store.names(voice_id)
    for name in (conditioning_name(family), CONDITIONING):
        if name in names:
            return store.read(voice_id, name)
    raise CheckpointError(f"the voice {voice_id!r} has no {CONDITIONING}")
