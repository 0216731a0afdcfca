"""Every encoding, read by programs that share nothing with the encoders: FFmpeg's and SoX's own.

`.ci/run` installs them; elsewhere the tests are skipped without them.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import Encoding, sample_rates_hz
from chatterbox.audio.output import OutputChain, OutputFormat

RATE_HZ = 24_000
PITCH_HZ = 440.0
SECONDS = 1.5
RAW = {Encoding.PCM: "s16le", Encoding.MULAW: "mulaw", Encoding.ALAW: "alaw"}
# SoX's names of those that it reads in Debian.
SOX = {
    Encoding.PCM: ["-t", "raw", "-e", "signed-integer", "-b", "16"],
    Encoding.MULAW: ["-t", "raw", "-e", "mu-law", "-b", "8"],
    Encoding.ALAW: ["-t", "raw", "-e", "a-law", "-b", "8"],
    Encoding.WAV: ["--ignore-length", "-t", "wav"],
    Encoding.FLAC: ["-t", "flac"],
    Encoding.MP3: ["-t", "mp3"],
}
# A decoder of MP3 or AAC cannot know how much of the first and last frame is padding.
PADDING = {Encoding.MP3: 3 * 1152, Encoding.AAC: 3 * 1024}

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="needs sox")


def file_of(folder: Path, form: OutputFormat, *, streamed: bool) -> Path:
    """A tone through the whole chain, in one piece or as a stream of chunks would come."""
    chain = OutputChain(form, from_hz=RATE_HZ)
    moments = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    tone = (0.3 * np.sin(2 * np.pi * PITCH_HZ * moments)).astype(np.float32)
    pieces = np.split(tone, range(8_640, len(tone), 4_321)) if streamed else [tone]
    path = folder / f"tone.{form.encoding}"
    path.write_bytes(
        b"".join(chain.push(Clip(piece, RATE_HZ)) for piece in pieces)
        + chain.end_utterance()
        + chain.finish()
    )
    return path


def judge(samples: np.ndarray, rate_hz: int, form: OutputFormat) -> None:
    """The right length, the right pitch, no gap and no noise."""
    padding = PADDING.get(form.encoding, 48)
    expected = SECONDS / form.speaking_rate * rate_hz
    assert -2 <= len(samples) - expected <= padding
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 16 * len(middle))) ** 2
    pitch_hz = float(np.argmax(spectrum)) * rate_hz / (16 * len(middle))
    assert pitch_hz == pytest.approx(PITCH_HZ, rel=0.005)
    near = slice(round(spectrum.argmax() * 0.9), round(spectrum.argmax() * 1.1))
    assert spectrum[near].sum() > 0.98 * spectrum.sum()
    level = 0.3 * 10 ** (form.volume_gain_db / 20) / np.sqrt(2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(level, rel=0.06)


FORMS = [
    *(OutputFormat(encoding=encoding) for encoding in Encoding),
    *(
        OutputFormat(encoding=encoding, sample_rate_hz=rate_hz)
        for encoding in Encoding
        for rate_hz in (8_000, 16_000, 44_100, 48_000)
        if rate_hz in sample_rates_hz(encoding)
    ),
    OutputFormat(encoding=Encoding.FLAC, speaking_rate=2.0, volume_gain_db=-6.0),
    OutputFormat(encoding=Encoding.OGG_OPUS, speaking_rate=0.5, volume_gain_db=3.0),
]


def named(form: OutputFormat) -> str:
    return f"{form.encoding}-{form.sample_rate_hz or RATE_HZ}-x{form.speaking_rate:g}"


@needs_ffmpeg
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("form", FORMS, ids=named)
def test_ffmpeg_hears_what_was_said(tmp_path: Path, form: OutputFormat, *, streamed: bool) -> None:
    path = file_of(tmp_path, form, streamed=streamed)
    rate_hz = form.sample_rate_hz or RATE_HZ
    raw = RAW.get(form.encoding)
    how = [] if raw is None else ["-f", raw, "-ar", str(rate_hz), "-ac", "1"]
    out = ["-f", "f32le", "-ar", str(rate_hz), "-ac", "1", "-"]
    done = _run(["ffmpeg", "-v", "error", *how, "-i", str(path), *out])
    assert done.stderr == b""
    judge(np.frombuffer(done.stdout, "<f4"), rate_hz, form)


@needs_ffmpeg
@pytest.mark.parametrize("encoding", [e for e in Encoding if e not in RAW])
def test_ffmpeg_finds_out_by_itself_what_it_is(tmp_path: Path, encoding: Encoding) -> None:
    path = file_of(tmp_path, OutputFormat(encoding=encoding), streamed=True)
    bare = path.rename(tmp_path / "nameless")
    done = _run(["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(bare)])
    (stream,) = json.loads(done.stdout)["streams"]
    rate_hz = 48_000 if encoding is Encoding.OGG_OPUS else RATE_HZ  # Opus always counts in 48 kHz
    assert (stream["channels"], int(stream["sample_rate"])) == (1, rate_hz)


@needs_sox
@pytest.mark.parametrize("encoding", SOX)
def test_sox_hears_what_was_said(tmp_path: Path, encoding: Encoding) -> None:
    form = OutputFormat(encoding=encoding, sample_rate_hz=16_000)
    path = file_of(tmp_path, form, streamed=True)
    how = [*SOX[encoding], *(["-r", "16000", "-c", "1"] if encoding in RAW else [])]
    out = ["-t", "raw", "-e", "floating-point", "-b", "32", "-r", "16000", "-"]
    done = _run(["sox", "-V1", *how, str(path), *out])
    judge(np.frombuffer(done.stdout, "<f4"), 16_000, form)


def _run(command: list[str]) -> Any:
    return subprocess.run(command, capture_output=True, check=True, timeout=60)
