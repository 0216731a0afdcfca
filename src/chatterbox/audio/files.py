"""Audio files: WAV out, anything libsndfile knows in."""

import io
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from chatterbox.audio.clip import Clip
from chatterbox.errors import InvalidRequest

_PCM, _MONO, _BYTES = 1, 1, 2
_UNKNOWN = 0xFFFFFFFF  # the size of what is not known yet: players read to the end


def pcm16(clip: Clip) -> bytes:
    """The samples as signed 16-bit little-endian; what lies beyond [-1, 1] is clipped."""
    return (np.clip(clip.samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()


def wav_header(sample_rate_hz: int, sample_count: int | None = None) -> bytes:
    """The 44 bytes before 16-bit mono PCM; without a count, for a stream of unknown length."""
    data_bytes = _UNKNOWN if sample_count is None else sample_count * _BYTES
    riff_bytes = _UNKNOWN if sample_count is None else 36 + data_bytes
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        riff_bytes,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        _MONO,
        sample_rate_hz,
        sample_rate_hz * _BYTES,
        _BYTES,
        8 * _BYTES,
        b"data",
        data_bytes,
    )


def wav_bytes(clip: Clip) -> bytes:
    """A clip as a complete 16-bit WAV file."""
    return wav_header(clip.sample_rate_hz, len(clip)) + pcm16(clip)


def write_wav(path: Path, clip: Clip) -> None:
    """Write a clip as a 16-bit WAV file."""
    path.write_bytes(wav_bytes(clip))


def read_clip(source: Path | bytes | BinaryIO, *, max_seconds: float | None = None) -> Clip:
    """A sound file, its channels mixed to one; read no further than `max_seconds`.

    Raises InvalidRequest naming the field `audio` for what is no sound file.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with soundfile.SoundFile(opened) as file:
            rate = file.samplerate
            limit = -1 if max_seconds is None else int(max_seconds * rate)
            samples = file.read(limit, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise InvalidRequest(
            f"the audio cannot be read: {error}", field="audio", reason="AUDIO_UNREADABLE"
        ) from error
    return Clip(samples.mean(axis=1, dtype=np.float32), rate)
