"""Whatever the files of a voice hold, reading them gives a voice that fits or says that it does not."""

import contextlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from chatterbox.audio.clip import Clip
from chatterbox.errors import CheckpointError
from chatterbox.voices.facts import read_voice
from chatterbox.voices.library import bundled_voices
from chatterbox.voices.tensors import (
    REFERENCE_HZ,
    read_conditioning,
    read_reference,
    reference_bytes,
)

CLIP = Clip(np.linspace(-1, 1, 1_000, dtype=np.float32), REFERENCE_HZ)
REFERENCE = reference_bytes(CLIP)
ADA = (bundled_voices() / "ada" / "conditioning.safetensors").read_bytes()

Changes = list[tuple[int, int]]


def changes(size: int) -> st.SearchStrategy[Changes]:
    """In the header mostly, where lengths and shapes are told."""
    place = st.one_of(st.integers(0, min(size, 400) - 1), st.integers(0, size - 1))
    return st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)


def changed(content: bytes, wanted: Changes) -> bytes:
    altered = bytearray(content)
    for place, value in wanted:
        altered[place] = value
    return bytes(altered)


def test_a_reference_comes_back_to_the_sample() -> None:
    back = read_reference(REFERENCE)
    assert back.sample_rate_hz == REFERENCE_HZ
    np.testing.assert_array_equal(back.samples, CLIP.samples)


@given(changes(len(REFERENCE)))
def test_a_reference_with_other_bytes_is_refused_or_a_clip(wanted: Changes) -> None:
    with contextlib.suppress(CheckpointError):
        assert np.isfinite(read_reference(changed(REFERENCE, wanted)).samples).all()


@given(changes(len(ADA)))
def test_a_conditioning_with_other_bytes_is_refused_or_fits(wanted: Changes) -> None:
    with contextlib.suppress(CheckpointError):
        read = read_conditioning(changed(ADA, wanted), "tiny")
        assert read.t3.speaker_embedding.shape == (1, 256)
        assert read.s3gen.x_vector.isfinite().all()


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros((2, 100), np.float32),
        np.zeros(100, np.float64),
        np.zeros(61 * REFERENCE_HZ, np.float32),
        np.full(100, np.inf, np.float32),
    ],
)
def test_what_is_no_reference_is_refused(samples: "np.ndarray[tuple[int, ...], np.dtype]") -> None:
    with pytest.raises(CheckpointError):
        read_reference(save({"reference": samples}))


def test_a_tensor_of_another_kind_is_refused() -> None:
    tensors = load(ADA)
    for name in tensors:
        for shape in ((3, 3, 3, 3), (), (1,)):
            wrong = tensors | {name: np.zeros(shape, np.uint8)}
            with pytest.raises(CheckpointError):
                read_conditioning(save(wrong), "tiny")


@given(st.binary(max_size=200))
@example(b"{}")
@example(b'{"families": 3}')
@example(b'{"families": [], "created": "yesterday"}')
@example(b'{"families": [], "created": 1e400}')
@example(b'{"families": [], "reference": {"fingerprint": 1, "quality": {"loud": 1}}}')
@example(b'{"families": [], "reference": {"fingerprint": "f", "quality": {"peak_dbfs": NaN}}}')
@example(b'{"families": [], "created": "0001-01-01T00:00:00"}')
@example(b"[" * 50_000)
def test_facts_describe_a_voice_or_are_refused(content: bytes) -> None:
    with contextlib.suppress(CheckpointError):
        assert read_voice("mia", content, is_read_only=False).id == "mia"


def test_facts_too_long_for_a_list_are_refused() -> None:
    for facts in (b'{"families": [], "description": "%s"}' % (b"x" * 1_001), b"x" * 70_000):
        with pytest.raises(CheckpointError):
            read_voice("mia", facts, is_read_only=False)
