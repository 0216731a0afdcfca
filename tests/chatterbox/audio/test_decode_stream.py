"""A file is decoded while it arrives, whatever the pieces, and whatever is wrong with it."""

import asyncio
import io
import struct
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatterbox.audio import decode_stream
from chatterbox.audio.clip import Clip
from chatterbox.audio.encode import AudioEncoder, Encoding
from chatterbox.audio.files import pcm16, wav_bytes, wav_header
from chatterbox.errors import InvalidRequest, SessionIdle

RATE = 24_000


def tone(seconds: float) -> Clip:
    moments = np.arange(int(seconds * RATE)) / RATE
    return Clip((0.4 * np.sin(2 * np.pi * 330 * moments)).astype(np.float32), RATE)


def encode_whole(clip: Clip, encoding: Encoding) -> bytes:
    encoder = AudioEncoder(encoding, clip.sample_rate_hz)
    return encoder.encode(clip.samples) + encoder.finish()


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def decoded(data: bytes, size: int = 7_777) -> tuple[Clip, bool]:
    """The sound, and whether it was damaged."""
    clips: list[Clip] = []
    is_damaged = False
    async with aclosing(decode_stream.decode_stream(in_pieces(data, size))) as found:
        async for each in found:
            if isinstance(each, Clip):
                clips.append(each)
            else:
                is_damaged = True
    joined = np.concatenate([clip.samples for clip in clips])
    return Clip(joined, clips[0].sample_rate_hz), is_damaged


@pytest.mark.parametrize("encoding", [Encoding.WAV, Encoding.FLAC, Encoding.MP3, Encoding.OGG_OPUS])
async def test_every_container_is_heard_to_its_end(encoding: Encoding) -> None:
    clip = tone(3.0)
    heard, is_damaged = await decoded(encode_whole(clip, encoding))
    assert not is_damaged
    assert heard.duration_s == pytest.approx(3.0, abs=0.1)
    middle = heard.samples[heard.sample_rate_hz : 2 * heard.sample_rate_hz]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(int(spectrum.argmax()) - 330) <= 1


async def test_the_pieces_change_nothing() -> None:
    data = wav_bytes(tone(1.0))
    small, _ = await decoded(data, 997)
    whole, _ = await decoded(data, len(data))
    assert np.array_equal(small.samples, whole.samples)
    assert np.array_equal(pcm16(whole), pcm16(tone(1.0)))


async def test_sound_comes_before_the_file_is_complete() -> None:
    go_on = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield wav_header(RATE) + pcm16(tone(4.0))
        await go_on.wait()
        yield pcm16(tone(1.0))

    total_s = 0.0
    async with asyncio.timeout(20), aclosing(decode_stream.decode_stream(halting())) as found:
        async for clip in found:
            assert isinstance(clip, Clip)
            go_on.set()
            total_s += clip.duration_s
    assert total_s == pytest.approx(5.0)


async def test_who_sends_too_fast_has_to_wait() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield wav_header(RATE)
        while True:
            sent += 1
            yield bytes(64 * 1024)

    async with aclosing(decode_stream.decode_stream(endless())) as found:
        await anext(found)
        before = -1
        while before != sent:  # until nothing more is taken
            before = sent
            await asyncio.sleep(0.5)
        assert sent * 64 * 1024 < 4 * 1024 * 1024


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.wav", wav_bytes(tone(0.2)))
    return packed.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 200_000,
        b"ffconcat version 1.0\nfile /etc/passwd\n" * 200,
        archive(),
        wav_header(RATE),
        struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 99, b"WAVE", b"fmt ", 16, 1, 0, RATE, 0, 0, 16,
                    b"data", 9_999) + bytes(9_999),
    ],
    ids=["nothing", "zeros", "ffconcat", "zip", "header only", "no channels"],
)  # fmt: skip
async def test_what_is_no_sound_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await decoded(data)
    assert (caught.value.reason, caught.value.field) == ("AUDIO_UNREADABLE", "audio")


async def test_what_comes_before_the_damage_is_given() -> None:
    data = encode_whole(tone(4.0), Encoding.FLAC)
    middle = len(data) // 2
    noise = np.random.default_rng(1).integers(0, 256, len(data) - middle, dtype=np.uint8)
    heard, _ = await decoded(data[:middle] + noise.tobytes())
    assert 1.0 < heard.duration_s < 4.1


async def test_the_error_of_whoever_sends_comes_after_what_was_sent() -> None:
    async def leaving() -> AsyncIterator[bytes]:
        yield wav_header(RATE) + pcm16(tone(2.0))
        raise SessionIdle("gone")

    total_s = 0.0
    async with aclosing(decode_stream.decode_stream(leaving())) as found:
        while total_s < 1.999:
            clip = await anext(found)
            assert isinstance(clip, Clip)
            total_s += clip.duration_s
        with pytest.raises(SessionIdle):
            await anext(found)
    assert total_s == pytest.approx(2.0)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that are started."""
    started: list[Any] = []
    spawn = asyncio.create_subprocess_exec

    async def spy(*arguments: Any, **options: Any) -> Any:
        started.append(await spawn(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    return started


async def test_leaving_early_ends_the_child(children: list[Any]) -> None:
    pieces = in_pieces(wav_bytes(tone(60.0)), 4_096)
    async with aclosing(decode_stream.decode_stream(pieces)) as found:
        await anext(found)
    assert [child.returncode is not None for child in children] == [True]


def peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def test_many_minutes_take_no_more_memory_than_one(children: list[Any]) -> None:
    if sys.platform != "linux":
        pytest.skip("this system does not tell how much memory a process has")
    minute = encode_whole(tone(60.0), Encoding.MP3)  # MP3 files join to one

    async def joined() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield minute

    seconds, peaks_kb = 0.0, []
    async with aclosing(decode_stream.decode_stream(joined())) as found:
        async for clip in found:
            assert isinstance(clip, Clip)
            before_s, seconds = seconds, seconds + clip.duration_s
            if before_s // 120 != seconds // 120:  # every two minutes, which are 12 MB
                peaks_kb.append(peak_kb(children[0].pid))
    assert seconds == pytest.approx(720, abs=3)
    assert peaks_kb[4] - peaks_kb[0] < 10_000
