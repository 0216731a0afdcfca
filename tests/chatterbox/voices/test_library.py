"""The voice library over folders."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from chatterbox.errors import CheckpointError, InvalidRequest, NotFound
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.voices.library import VoiceLibrary

CONDITIONING = Conditioning(
    t3=T3Conditioning(
        speaker_embedding=torch.full((1, 256), 1 / 16), prompt_tokens=torch.tensor([[1, 2, 3]])
    ),
    s3gen=S3GenConditioning(
        prompt_tokens=torch.tensor([[4, 5]]),
        prompt_mel=torch.randn(1, 4, 80),
        x_vector=torch.randn(1, 192),
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
