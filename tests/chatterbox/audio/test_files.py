"""WAV files out and sound files in."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chatterbox.audio.clip import Clip
from chatterbox.audio.files import pcm16, read_clip, wav_bytes, wav_header, write_wav
from chatterbox.errors import InvalidRequest

CLIP = Clip(np.sin(np.arange(2400, dtype=np.float32) / 20) * np.float32(0.5), 24_000)


def test_a_written_clip_reads_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", CLIP)
    back = read_clip(tmp_path / "a.wav")
    assert back.sample_rate_hz == 24_000
    np.testing.assert_allclose(back.samples, CLIP.samples, atol=1e-4)


def test_the_file_is_what_other_programs_expect() -> None:
    with wave.open(io.BytesIO(wav_bytes(CLIP))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.getnframes() == 2400


def test_what_is_too_loud_is_clipped_and_not_wrapped() -> None:
    loud = np.array([-3.0, -1.0, 0.0, 1.0, 3.0], np.float32)
    assert np.frombuffer(pcm16(Clip(loud, 24_000)), "<i2").tolist() == [
        -32767,
        -32767,
        0,
        32767,
        32767,
    ]


def test_a_stream_of_unknown_length_has_a_header_of_the_same_size() -> None:
    assert len(wav_header(24_000)) == len(wav_header(24_000, 10)) == 44


def test_channels_are_mixed_and_the_rest_is_left_unread() -> None:
    buffer = io.BytesIO()
    stereo = np.stack([np.full(8000, 0.2), np.full(8000, 0.4)], axis=1)
    soundfile.write(buffer, stereo, 8000, format="FLAC")
    clip = read_clip(buffer.getvalue(), max_seconds=0.5)
    assert (len(clip), clip.sample_rate_hz) == (4000, 8000)
    np.testing.assert_allclose(clip.samples, 0.3, atol=1e-3)


@pytest.mark.parametrize("contents", [b"", b"not a sound", b"RIFF....WAVE"])
def test_what_is_no_sound_file_is_an_invalid_request(contents: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_clip(contents)
    assert refusal.value.field == "audio"
