"""A voice as one file: what comes back, and what is never let in."""

import contextlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from chatterbox.errors import InvalidRequest
from chatterbox.models.conditioning import Conditioning, S3GenConditioning, T3Conditioning
from chatterbox.voices.archive import pack, unpack
from chatterbox.voices.facts import voice_json
from chatterbox.voices.published import read_published
from chatterbox.voices.recording import assess
from chatterbox.voices.store import REFERENCE, VOICE_JSON, conditioning_name
from chatterbox.voices.voice import Voice

CONSENT_S = 1_750_000_000.0


@pytest.fixture(scope="module")
def made(speech: Any) -> tuple[Voice, dict[str, bytes]]:
    recording = assess(speech)
    voice = Voice(
        id="mia",
        display_name="Mia",
        description="Line one.\nLine two, with ümläuts.",
        consent_s=CONSENT_S,
        reference=recording.reference,
    )
    return voice, {REFERENCE: recording.content}


def conditioning(**changed: torch.Tensor) -> bytes:
    """One that suits the tiny family, but for what is changed."""
    tensors = Conditioning(
        t3=T3Conditioning(
            speaker_embedding=torch.full((1, 256), 1 / 16), prompt_tokens=torch.zeros(1, 0).long()
        ),
        s3gen=S3GenConditioning(
            prompt_tokens=torch.tensor([[4, 5]]),
            prompt_mel=torch.zeros(1, 4, 80),
            x_vector=torch.ones(1, 256),
        ),
    ).tensors()
    return save_torch(tensors | changed)


def test_a_voice_comes_back_as_it_was(made: tuple[Voice, dict[str, bytes]]) -> None:
    voice, files = made
    back = unpack(pack(voice, files))
    assert back.voice == voice
    assert back.files == files
    assert unpack(pack(voice, files), voice_id="zoe").voice.id == "zoe"


def test_the_same_voice_is_the_same_file(made: tuple[Voice, dict[str, bytes]]) -> None:
    assert pack(*made) == pack(*made)


def test_what_is_said_of_a_recording_is_measured_again(
    made: tuple[Voice, dict[str, bytes]], speech: Any
) -> None:
    voice, _ = made
    half = assess(type(speech)(speech.samples[: len(speech) // 2], speech.sample_rate_hz))
    back = unpack(pack(voice, {REFERENCE: half.content}))
    assert back.voice.reference == half.reference


def test_consent_comes_with_the_file_or_with_the_call(
    made: tuple[Voice, dict[str, bytes]],
) -> None:
    voice, files = made
    without = Voice(id="mia", display_name="Mia", reference=voice.reference)
    with pytest.raises(InvalidRequest) as refusal:
        unpack(pack(without, files))
    assert refusal.value.reason == "CONSENT_REQUIRED"
    assert unpack(pack(without, files), consent_s=7.0).voice.consent_s == 7.0
    assert unpack(pack(voice, files), consent_s=7.0).voice.consent_s == CONSENT_S


def test_a_conditioning_that_suits_its_family_is_let_in() -> None:
    voice = Voice(id="mia", display_name="Mia", families=("tiny",), consent_s=CONSENT_S)
    back = unpack(pack(voice, {"conditioning.safetensors": conditioning()}))
    assert back.voice.families == ("tiny",)
    assert list(back.files) == [conditioning_name("tiny")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"t3.speaker_embedding": torch.zeros(1, 255)},
        {"t3.speaker_embedding": torch.full((1, 256), float("nan"))},
        {"t3.prompt_tokens": torch.zeros(1, 9).long()},
        {"s3gen.prompt_tokens": torch.tensor([[4, 6561]])},
        {"s3gen.prompt_tokens": torch.tensor([[4, -1]])},
        {"s3gen.prompt_tokens": torch.zeros(1, 100_000).long()},
        {"s3gen.prompt_mel": torch.zeros(1, 9, 80)},
        {"s3gen.prompt_mel": torch.zeros(1, 4, 81)},
        {"s3gen.x_vector": torch.ones(2, 256)},
    ],
)
def test_a_conditioning_that_would_break_the_models_is_refused(
    wrong: dict[str, torch.Tensor],
) -> None:
    voice = Voice(id="mia", display_name="Mia", families=("tiny",), consent_s=CONSENT_S)
    with pytest.raises(InvalidRequest, match="fit"):
        unpack(pack(voice, {conditioning_name("tiny"): conditioning(**wrong)}))


def zipped(files: dict[str, bytes], *, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


FACTS = voice_json(Voice(id="mia", display_name="Mia", consent_s=CONSENT_S))
REFERENCE_OF_NONE = save({"reference": np.full(100_000, np.nan, np.float32)})


def facts(**changed: Any) -> bytes:
    return json.dumps(json.loads(FACTS) | changed).encode()


def _damaged() -> bytes:
    content = bytearray(zipped({VOICE_JSON: FACTS, REFERENCE: REFERENCE_OF_NONE}))
    content[60:80] = bytes(20)
    return bytes(content)


def _encrypted() -> bytes:
    content = bytearray(zipped({VOICE_JSON: FACTS}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


BAD_ARCHIVES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no archive": lambda: b"not a zip",
    "empty": lambda: zipped({}),
    "no facts": lambda: zipped({REFERENCE: REFERENCE_OF_NONE}),
    "facts alone": lambda: zipped({VOICE_JSON: FACTS}),
    "facts that are none": lambda: zipped({VOICE_JSON: b"[]"}),
    "facts without end": lambda: zipped({VOICE_JSON: b"[" * 200_000}),
    "an id that is a path": lambda: zipped({VOICE_JSON: facts(id="../../etc")}),
    "a way out": lambda: zipped({VOICE_JSON: FACTS, f"../{REFERENCE}": b""}),
    "an absolute path": lambda: zipped({VOICE_JSON: FACTS, "/etc/passwd": b""}),
    "a folder": lambda: zipped({VOICE_JSON: FACTS, f"a/{REFERENCE}": b""}),
    "a pickle": lambda: zipped({VOICE_JSON: FACTS, "conds.pt": b"\x80\x04."}),
    "samples that are no numbers": lambda: zipped(
        {VOICE_JSON: FACTS, REFERENCE: REFERENCE_OF_NONE}
    ),
    "no safetensors": lambda: zipped({VOICE_JSON: FACTS, REFERENCE: b"\xff" * 100}),
    "a bomb": lambda: zipped({VOICE_JSON: FACTS, REFERENCE: bytes(200 * 1024 * 1024)}),
    "many files": lambda: zipped({f"{number}.json": b"" for number in range(1_000)}),
    "a rare compression": lambda: zipped({VOICE_JSON: FACTS}, kind=zipfile.ZIP_LZMA),
    "damage": _damaged,
    "a secret": _encrypted,
}


@pytest.mark.parametrize("archive", BAD_ARCHIVES.values(), ids=BAD_ARCHIVES.keys())
def test_what_no_voice_was_exported_to_is_refused(archive: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        unpack(archive())
    assert refusal.value.field in ("archive", "voice_id")


def test_a_list_of_files_that_is_a_bomb_is_not_read() -> None:
    content = zipped({f"{number}": b"" for number in range(10_000)})
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="more than 16 files"):
            unpack(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(content)


TINY_VOICE = Voice(id="mia", display_name="Mia", families=("tiny",), consent_s=CONSENT_S)
SOUND = zipped(
    {VOICE_JSON: voice_json(TINY_VOICE), "conditioning.tiny.safetensors": conditioning()},
    kind=zipfile.ZIP_STORED,
)


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=8))
def test_whatever_is_wrong_with_an_archive_it_is_a_refusal(changes: list[tuple[int, int]]) -> None:
    content = bytearray(SOUND)
    for place, value in changes:
        content[place] = value
    with contextlib.suppress(InvalidRequest):
        assert unpack(bytes(content)).voice.families == ("tiny",)


def test_a_file_that_stands_twice_is_refused() -> None:
    content = zipped({VOICE_JSON: FACTS, "voice.jsom": FACTS})
    with pytest.raises(InvalidRequest, match="twice"):
        unpack(content.replace(b"voice.jsom", b"voice.json"))


@pytest.fixture
def conds() -> dict[str, Any]:
    """What an official repository publishes, in its shapes."""
    return {
        "t3": {
            "speaker_emb": torch.full((1, 256), 1 / 16),
            "clap_emb": None,
            "cond_prompt_speech_tokens": torch.zeros(1, 150).long(),
            "cond_prompt_speech_emb": None,
            "emotion_adv": torch.full((1, 1, 1), 0.5),
        },
        "gen": {
            "prompt_token": torch.zeros(1, 250).long(),
            "prompt_token_len": torch.tensor([250]),
            "prompt_feat": torch.zeros(1, 500, 80),
            "prompt_feat_len": None,
            "embedding": torch.ones(1, 192),
        },
    }


def test_a_published_voice_becomes_an_archive(tmp_path: Any, conds: dict[str, Any]) -> None:
    torch.save(conds, tmp_path / "conds.pt")
    content = read_published(tmp_path / "conds.pt", family="english", voice_id="sample")
    back = unpack(content, consent_s=CONSENT_S)
    assert (back.voice.id, back.voice.families) == ("sample", ("english",))


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this is run by whoever opens the pickle",))


def test_a_pickle_that_runs_code_is_not_opened(
    tmp_path: Any, conds: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(conds | {"more": _Harmful()}, tmp_path / "conds.pt")
    with pytest.raises(InvalidRequest, match="no published voice"):
        read_published(tmp_path / "conds.pt", family="english", voice_id="sample")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("family", "part"), [("turbo", None), ("tiny", None), ("english", "gen")])
def test_a_published_voice_of_another_family_is_refused(
    tmp_path: Any, conds: dict[str, Any], family: str, part: str | None
) -> None:
    if part is not None:
        del conds[part]
    elif family == "turbo":
        conds["t3"]["cond_prompt_speech_tokens"] = torch.zeros(1, 376).long()
    torch.save(conds, tmp_path / "conds.pt")
    with pytest.raises(InvalidRequest):
        read_published(tmp_path / "conds.pt", family=family, voice_id="sample")
