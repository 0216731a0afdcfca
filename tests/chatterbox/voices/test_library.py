"""The voice library over folders."""

import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from chatterbox.errors import (
    AlreadyExists,
    CheckpointError,
    InvalidRequest,
    NotFound,
    ReadOnly,
    StorageFailed,
)
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.voices import library as library_module
from chatterbox.voices.cache import ConditioningCache
from chatterbox.voices.folder_store import FolderStore
from chatterbox.voices.library import VoiceLibrary
from chatterbox.voices.quality import Quality
from chatterbox.voices.voice import Reference, Voice

CONDITIONING = Conditioning(
    t3=T3Conditioning(
        speaker_embedding=torch.full((1, 256), 1 / 16), prompt_tokens=torch.zeros(1, 0).long()
    ),
    s3gen=S3GenConditioning(
        prompt_tokens=torch.tensor([[4, 5]]),
        prompt_mel=torch.randn(1, 4, 80),
        x_vector=torch.randn(1, 256),
    ),
)


def add_voice(root: Path, voice_id: str, **facts: object) -> Path:
    folder = root / voice_id
    folder.mkdir(parents=True)
    told = {"display_name": voice_id.title(), "language": "en", "gender": "female"}
    (folder / "voice.json").write_text(json.dumps({**told, "families": ["tiny"], **facts}))
    save_file(CONDITIONING.tensors(), folder / "conditioning.safetensors")
    return folder


def test_voices_are_listed_by_id(tmp_path: Path) -> None:
    add_voice(tmp_path, "ben", gender="male")
    add_voice(tmp_path, "ada")
    (tmp_path / "Not A Voice").mkdir()
    (tmp_path / "empty").mkdir()
    listed = VoiceLibrary([tmp_path, tmp_path / "missing"]).list()
    assert [(voice.id, voice.gender) for voice in listed] == [("ada", "female"), ("ben", "male")]


def test_an_earlier_root_wins(tmp_path: Path) -> None:
    add_voice(tmp_path / "own", "ada", display_name="My Ada")
    add_voice(tmp_path / "bundled", "ada")
    library = VoiceLibrary([tmp_path / "own", tmp_path / "bundled"])
    assert [voice.display_name for voice in library.list()] == ["My Ada"]


def test_conditioning_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    add_voice(tmp_path, "ada")
    library = VoiceLibrary([tmp_path])
    loaded = library.conditioning("ada", "tiny")
    for name, tensor in CONDITIONING.tensors().items():
        torch.testing.assert_close(loaded.tensors()[name], tensor)
    assert library.conditioning("ada", "tiny") is loaded


def test_voices_that_were_asked_for_are_resident(tmp_path: Path) -> None:
    for voice_id in ("ben", "ada", "cleo"):
        add_voice(tmp_path, voice_id)
    library = VoiceLibrary([tmp_path])
    assert library.resident() == ()
    for voice_id in ("cleo", "ada", "cleo"):
        library.conditioning(voice_id, "tiny")
    assert library.resident() == ("ada", "cleo")


def test_the_default_voice_suits_the_family(tmp_path: Path) -> None:
    add_voice(tmp_path, "ada", families=["tiny"])
    add_voice(tmp_path, "ben", families=["english"])
    library = VoiceLibrary([tmp_path])
    assert library.default_for("english").id == "ben"
    with pytest.raises(NotFound):
        library.default_for("nano")


def test_an_unknown_voice_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as refusal:
        VoiceLibrary([tmp_path]).get("zoe")
    assert refusal.value.resource == "voices/zoe"


@pytest.mark.parametrize("wrong", ["", "../ada", "a/b", "Ada", "a" * 64, "ada-", "1st", "a\n", "."])
def test_what_cannot_be_an_id_never_reaches_the_file_system(tmp_path: Path, wrong: str) -> None:
    add_voice(tmp_path / "voices", "ada")
    add_voice(tmp_path, "outside")
    with pytest.raises(InvalidRequest) as refusal:
        VoiceLibrary([tmp_path / "voices"]).conditioning(wrong, "tiny")
    assert refusal.value.field == "voice"


def test_a_voice_of_another_family_is_refused(tmp_path: Path) -> None:
    add_voice(tmp_path, "ada", families=["english"])
    with pytest.raises(InvalidRequest):
        VoiceLibrary([tmp_path]).conditioning("ada", "tiny")


@pytest.mark.parametrize("contents", [b"", b"not safetensors at all", None])
def test_an_unreadable_conditioning_is_a_checkpoint_error(
    tmp_path: Path, contents: bytes | None
) -> None:
    path = add_voice(tmp_path, "ada") / "conditioning.safetensors"
    if contents is None:
        path.unlink()
    else:
        path.write_bytes(contents)
    with pytest.raises(CheckpointError, match="conditioning"):
        VoiceLibrary([tmp_path]).conditioning("ada", "tiny")


def test_a_conditioning_without_a_tensor_is_a_checkpoint_error(tmp_path: Path) -> None:
    folder = add_voice(tmp_path, "ada")
    save_file({"t3.speaker_embedding": torch.zeros(1, 256)}, folder / "conditioning.safetensors")
    with pytest.raises(CheckpointError):
        VoiceLibrary([tmp_path]).conditioning("ada", "tiny")


@pytest.mark.parametrize("described", ["{", "[]", "{}", '{"families": 3}'])
def test_a_folder_that_describes_no_voice_does_not_hide_the_others(
    tmp_path: Path, described: str
) -> None:
    add_voice(tmp_path, "ada")
    (add_voice(tmp_path, "bad") / "voice.json").write_text(described)
    library = VoiceLibrary([tmp_path])
    assert [voice.id for voice in library.list()] == ["ada"]
    with pytest.raises(CheckpointError):
        library.get("bad")


QUALITY = Quality(
    duration_s=4.0,
    speech_s=3.5,
    loudness_lufs=-20.0,
    peak_dbfs=-3.0,
    noise_floor_dbfs=-70.0,
    signal_to_noise_db=45.0,
    clipping_ratio=0.0,
)
MIA = Voice(
    id="mia",
    display_name="Mia",
    consent_s=1_750_000_000.0,
    reference=Reference(fingerprint="f", quality=QUALITY),
)
FILES = {"reference.safetensors": b"samples"}


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    """Ada came with the installation; there is room for more."""
    add_voice(tmp_path / "bundled", "ada")
    return VoiceLibrary([tmp_path / "bundled"], store=FolderStore(tmp_path / "store"))


def another(tmp_path: Path) -> VoiceLibrary:
    """The library of another server on the same folder."""
    return VoiceLibrary([tmp_path / "bundled"], store=FolderStore(tmp_path / "store"))


def test_a_new_voice_is_there_at_once_here_and_elsewhere(
    library: VoiceLibrary, tmp_path: Path
) -> None:
    elsewhere = another(tmp_path)
    assert [voice.id for voice in elsewhere.list()] == ["ada"]
    kept = library.add(MIA, FILES)

    assert library.get("mia") == kept
    seen = elsewhere.get("mia")
    assert (seen.reference, seen.consent_s) == (MIA.reference, MIA.consent_s)
    assert seen.created_s == pytest.approx(kept.created_s, abs=0.001)
    assert elsewhere.files("mia").keys() == {"voice.json", "reference.safetensors"}


def test_a_change_and_a_removal_are_seen_elsewhere(library: VoiceLibrary, tmp_path: Path) -> None:
    elsewhere = another(tmp_path)
    library.add(MIA, FILES)
    assert elsewhere.get("mia").display_name == "Mia"
    library.update("mia", {"display_name": "Maria"})
    assert elsewhere.get("mia").display_name == "Maria"
    elsewhere.update("mia", {"gender": "female"})
    library.update("mia", {"description": "Soft."})
    voice = elsewhere.get("mia")
    assert (voice.display_name, voice.gender, voice.description) == ("Maria", "female", "Soft.")
    elsewhere.delete("mia")
    with pytest.raises(NotFound):
        library.get("mia")


def test_a_watched_library_sees_what_others_do(
    library: VoiceLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_module, "POLL_S", 0.01)
    with library.watching():
        another(tmp_path).add(MIA, FILES)
        deadline_s = time.monotonic() + 10
        while "mia" not in [voice.id for voice in library.list()]:
            assert time.monotonic() < deadline_s


def test_what_came_with_the_installation_stays_as_it_is(library: VoiceLibrary) -> None:
    for act in (
        lambda: library.update("ada", {"display_name": "Eve"}),
        lambda: library.delete("ada"),
    ):
        with pytest.raises(ReadOnly):
            act()
    with pytest.raises(AlreadyExists):
        library.add(Voice(id="ada", display_name="Another"), FILES)
    assert library.get("ada").is_read_only
    assert not library.add(MIA, FILES).is_read_only


def test_a_library_without_a_store_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReadOnly):
        VoiceLibrary([tmp_path]).add(MIA, FILES)


def test_a_users_voice_does_not_become_the_default(library: VoiceLibrary) -> None:
    library.add(Voice(id="aaa", display_name="A", reference=MIA.reference), FILES)
    assert library.default_for("tiny").id == "ada"
    assert library.default_for("english").id == "aaa"


def test_a_recording_suits_those_that_it_is_long_enough_for() -> None:
    assert [family for family in ("tiny", "english", "turbo") if MIA.suits(family)] == [
        "tiny",
        "english",
    ]


def test_a_store_that_is_away_leaves_everything_as_it_was(
    library: VoiceLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(MIA, FILES)

    def away(store: FolderStore) -> None:
        raise StorageFailed("the network is down")

    monkeypatch.setattr(FolderStore, "generation", away)
    assert [voice.id for voice in library.list()] == ["ada", "mia"]
    (tmp_path / "store" / "mia").rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound):
        library.reference(library.get("mia"))


def test_a_conditioning_that_does_not_fit_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = add_voice(tmp_path, "ada", families=["tiny"])
    wrong = CONDITIONING.tensors() | {"s3gen.prompt_tokens": torch.tensor([[4, 6561]])}
    save_file(wrong, folder / "conditioning.safetensors")
    with pytest.raises(CheckpointError, match="does not fit"):
        VoiceLibrary([tmp_path]).conditioning("ada", "tiny")


def test_the_least_recently_used_make_room() -> None:
    size = sum(each.numel() * each.element_size() for each in CONDITIONING.tensors().values())
    cache = ConditioningCache(2 * size)
    for name in ("a", "b"):
        cache.keep((name, "tiny"), CONDITIONING, voice_id=name)
    assert cache.recall(("a", "tiny")) is CONDITIONING
    cache.keep(("c", "tiny"), CONDITIONING, voice_id=None)
    cache.keep(("c", "tiny"), CONDITIONING, voice_id=None)
    assert cache.recall(("b", "tiny")) is None
    assert cache.voice_ids() == ("a",)
    assert cache.size_bytes == 2 * size
