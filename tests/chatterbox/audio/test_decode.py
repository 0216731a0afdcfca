"""Files of strangers: what people record in is read, and nothing else does any harm."""

import asyncio
import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable

import av
import numpy as np
import pytest

from chatterbox.audio import decode
from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import Decoded, Decoder
from chatterbox.audio.files import wav_bytes
from chatterbox.errors import InvalidRequest, Overloaded

TONE_HZ = 440.0
TONE = Clip((0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(96_000) / 48_000)).astype("f4"), 48_000)
FORMATS = [
    ("wav", "pcm_s16le", "s16"),
    ("mp3", "libmp3lame", "fltp"),
    ("flac", "flac", "s16"),
    ("ogg", "libopus", "flt"),
    ("mp4", "aac", "fltp"),
    ("ipod", "alac", "s16p"),  # what iPhones call M4A
    ("webm", "libopus", "flt"),
    ("adts", "aac", "fltp"),
]


def encoded(clip: Clip, container: str, codec: str, kind: str) -> bytes:
    """A clip as a file, by FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=clip.sample_rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = av.AudioLayout("mono")
        stream.codec_context.format = av.AudioFormat(kind)
        samples = clip.samples if kind.startswith("flt") else (clip.samples * 32767).astype("<i2")
        frame = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
        frame.sample_rate = clip.sample_rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def wav(
    data: bytes,
    *,
    channels: int = 1,
    rate: int = 16_000,
    kind: int = 1,
    bits: int = 16,
    size: int | None = None,
) -> bytes:
    """A WAV file that may lie about everything."""
    block = max(1, channels * bits // 8) % 65_536
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * block % 2**32, block, bits)
    told = len(data) if size is None else size
    return (
        struct.pack("<4sI4s4sI", b"RIFF", (36 + told) % 2**32, b"WAVE", b"fmt ", 16)
        + head
        + struct.pack("<4sI", b"data", told)
        + data
    )


async def decoded(data: bytes, *, max_seconds: float = 10.0) -> Decoded:
    return await Decoder().decode(data, max_seconds=max_seconds)


@pytest.mark.parametrize(("container", "codec", "kind"), FORMATS)
async def test_what_people_record_in_is_read(container: str, codec: str, kind: str) -> None:
    found = await decoded(encoded(TONE, container, codec, kind))

    assert not found.is_damaged
    assert found.clip.sample_rate_hz == 48_000
    assert found.clip.duration_s == pytest.approx(2.0, abs=0.1)
    middle = found.clip.samples[24_000:72_000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == TONE_HZ
    assert np.std(middle) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


async def test_channels_are_mixed_by_their_mean() -> None:
    left = np.full(16_000, 8_000, "<i2")
    both = np.stack([left, -left // 2], axis=1)
    found = await decoded(wav(both.tobytes(), channels=2))

    np.testing.assert_allclose(found.clip.samples, 2_000 / 32_768, atol=1e-6)


async def test_what_inflates_hundreds_of_times_ends_at_the_limit() -> None:
    minutes = Clip(np.zeros(300 * 48_000, np.float32), 48_000)
    file = encoded(minutes, "flac", "flac", "s16")
    assert len(file) < len(minutes) * 2 / 500

    found = await decoded(file, max_seconds=5.0)

    assert found.clip.duration_s == 5.0


async def test_a_file_longer_than_it_says_and_one_shorter() -> None:
    second = bytes(32_000)
    for size in (2**31 - 1, 2**32 - 1):
        assert (await decoded(wav(second, size=size))).clip.duration_s == pytest.approx(1.0)
    assert (await decoded(wav(second, size=16_000))).clip.duration_s <= 1.0


async def test_what_comes_before_the_damage_is_read() -> None:
    file = bytearray(encoded(TONE, "flac", "flac", "s16"))
    file[len(file) * 3 // 4 : len(file) * 3 // 4 + 2_000] = b"\x00" * 2_000

    found = await decoded(bytes(file))

    assert 1.0 < found.clip.duration_s <= 2.0


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", wav_bytes(TONE))
    return file.getvalue()


SECOND = bytes(32_000)
BAD_FILES: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "one byte": lambda: b"R",
    "a header alone": lambda: wav(b"")[:40],
    "no samples": lambda: wav(b""),
    "no channels": lambda: wav(SECOND, channels=0),
    "65535 channels": lambda: wav(SECOND, channels=65_535),
    "a rate of nothing": lambda: wav(SECOND, rate=0),
    "four billion samples a second": lambda: wav(SECOND, rate=2**32 - 1),
    "one sample a second": lambda: wav(SECOND, rate=1),
    "no bits": lambda: wav(SECOND, bits=0),
    "an unknown code": lambda: wav(SECOND, kind=0xFFF0),
    "a web page": lambda: b"<html><body>Not found</body></html>" * 100,
    "a ZIP archive": _zip,
    "a list for ffconcat": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\nfile 'a.wav'\n",
    "a playlist": lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n",
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(500),
    "noise": lambda: np.random.default_rng(1).bytes(100_000),
}


@pytest.mark.parametrize("file", BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_what_is_no_recording_is_refused(file: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await decoded(file())
    assert refusal.value.reason == "AUDIO_UNREADABLE"
    assert refusal.value.field == "audio"


async def test_a_decoder_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "TIMEOUT_S", 0.001)
    with pytest.raises(InvalidRequest, match="limits"):
        await decoded(wav_bytes(TONE))


def test_the_child_has_only_so_much_memory() -> None:
    code = (
        "from chatterbox.audio.decode_child import MEMORY_BYTES, limit_resources\n"
        "limit_resources()\n"
        "bytearray(MEMORY_BYTES)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


async def test_the_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATTERBOX_API_KEYS", "secret")
    assert "secret" not in decode.child_environment().values()


async def test_more_files_than_are_read_at_once_are_refused() -> None:
    decoder = Decoder(max_decoding=1, max_waiting=1)
    file = wav_bytes(TONE)
    calls = [decoder.decode(file, max_seconds=1.0) for _ in range(3)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(result) for result in results] == [Decoded, Decoded, Overloaded]
    assert (await decoder.decode(file, max_seconds=1.0)).clip.duration_s == 1.0
