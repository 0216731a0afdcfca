"""Incremental encoders: samples in as they are made, bytes of a file or stream out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.audio.files import pcm16, wav_header
from chatterbox.errors import InvalidRequest

Samples = NDArray[np.float32]

SAMPLE_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class Encoding(StrEnum):
    """A way to write sound down."""

    PCM = "pcm"  # 16-bit signed little-endian, no header
    WAV = "wav"  # the same behind a header whose sizes say "to the end"
    FLAC = "flac"
    MP3 = "mp3"
    OGG_OPUS = "opus"
    AAC = "aac"  # in ADTS frames
    MULAW = "mulaw"  # G.711, no header
    ALAW = "alaw"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Codec:
    """How libav writes an encoding."""

    name: str
    container: str
    sample_format: str
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    sample_rates_hz: tuple[int, ...] = SAMPLE_RATES_HZ
    # So many more samples at this rate, and all sound before them has been written.
    latency_samples: Callable[[int], int] = lambda rate_hz: 0


_CODECS = {
    Encoding.FLAC: _Codec(
        name="flac",
        container="flac",
        sample_format="s16",
        options={"frame_size": "1024"},  # by itself it would take 0.2 s together
        latency_samples=lambda rate_hz: 1024,
    ),
    Encoding.MP3: _Codec(
        name="libmp3lame",
        container="mp3",
        sample_format="fltp",
        bit_rate=96_000,
        # Both would go back to the beginning of the file, or wait for its end.
        container_options={"write_xing": "0", "id3v2_version": "0"},
        latency_samples=lambda rate_hz: 5 * (1152 if rate_hz >= 32_000 else 576),
    ),
    Encoding.OGG_OPUS: _Codec(
        name="libopus",
        container="ogg",
        sample_format="flt",
        bit_rate=48_000,
        container_options={"page_duration": "20000"},  # us: a packet a page, not a second of them
        sample_rates_hz=(8_000, 12_000, 16_000, 24_000, 48_000),
        latency_samples=lambda rate_hz: round(0.04 * rate_hz),
    ),
    Encoding.AAC: _Codec(
        name="aac",
        container="adts",
        sample_format="fltp",
        bit_rate=64_000,
        latency_samples=lambda rate_hz: 3 * 1024,
    ),
    Encoding.MULAW: _Codec(name="pcm_mulaw", container="mulaw", sample_format="s16"),
    Encoding.ALAW: _Codec(name="pcm_alaw", container="alaw", sample_format="s16"),
}
# Each sample is written for itself: whoever goes on elsewhere needs to know nothing.
STATELESS = frozenset({Encoding.PCM, Encoding.WAV, Encoding.MULAW, Encoding.ALAW})
_MEDIA_TYPES = {
    Encoding.PCM: "audio/pcm",
    Encoding.WAV: "audio/wav",
    Encoding.FLAC: "audio/flac",
    Encoding.MP3: "audio/mpeg",
    Encoding.OGG_OPUS: "audio/ogg",
    Encoding.AAC: "audio/aac",
    Encoding.MULAW: "audio/basic",
    Encoding.ALAW: "audio/x-alaw-basic",
}


def sample_rates_hz(encoding: Encoding) -> tuple[int, ...]:
    """The rates in which it is served."""
    codec = _CODECS.get(encoding)
    return SAMPLE_RATES_HZ if codec is None else codec.sample_rates_hz


def check_sample_rate(encoding: Encoding, sample_rate_hz: int) -> None:
    """Raise InvalidRequest when the encoding is not served at this rate."""
    known = sample_rates_hz(encoding)
    if sample_rate_hz not in known:
        raise InvalidRequest(
            f"{encoding} at {sample_rate_hz} Hz is not served; {', '.join(map(str, known))} Hz are",
            field="audio_config.sample_rate_hertz",
            reason="UNSUPPORTED_SAMPLE_RATE",
        )


class _Writer(Protocol):
    """Samples to bytes."""

    @property
    def sent(self) -> int:
        """Samples whose sound is in the bytes returned so far."""

    def write(self, samples: Samples) -> bytes: ...

    def finish(self) -> bytes: ...


class AudioEncoder:
    """Writes one mono stream down, piece by piece.

    The bytes do not depend on how the stream is cut. At most `latency_samples` are held back. Not for
    use by two threads at once.
    """

    def __init__(self, encoding: Encoding, sample_rate_hz: int, *, begun_at: int = 0) -> None:
        """Go on after `begun_at` samples that another encoder has written (STATELESS ones only).

        Raises InvalidRequest when the encoding does not know the rate.
        """
        check_sample_rate(encoding, sample_rate_hz)
        assert begun_at == 0 or encoding in STATELESS, f"{encoding} cannot be gone on with"
        codec = _CODECS.get(encoding)
        self.media_type = _MEDIA_TYPES[encoding]
        self.sample_rate_hz = sample_rate_hz
        self.latency_samples = 0 if codec is None else codec.latency_samples(sample_rate_hz)
        self._begun_at = begun_at
        self._writer: _Writer = (
            _PcmWriter(sample_rate_hz, has_header=encoding is Encoding.WAV and begun_at == 0)
            if codec is None
            else _LibavWriter(codec, sample_rate_hz)
        )

    @property
    def sent(self) -> int:
        """Samples whose sound is in the bytes returned so far; to within a frame of the codec."""
        return self._begun_at + self._writer.sent

    def encode(self, samples: Samples) -> bytes:
        """The bytes that are ready once these samples have followed the others; maybe none."""
        return self._writer.write(samples)

    def finish(self) -> bytes:
        """The rest, and what the format wants at its end. Nothing may be encoded afterwards."""
        return self._writer.finish()


class _PcmWriter:
    """16-bit samples, behind a header if there is one."""

    def __init__(self, sample_rate_hz: int, *, has_header: bool) -> None:
        self.sent = 0
        self._rate = sample_rate_hz
        self._header = wav_header(sample_rate_hz) if has_header else b""

    def write(self, samples: Samples) -> bytes:
        self.sent += len(samples)
        header = b""
        if len(samples):  # a header alone is no sound
            header, self._header = self._header, b""
        return header + pcm16(Clip(samples, self._rate))

    def finish(self) -> bytes:
        return self._header


class _LibavWriter:
    """Any codec of libav in a container that can be written without going back."""

    def __init__(self, codec: _Codec, sample_rate_hz: int) -> None:
        self.sent = 0
        self._codec = codec
        self._rate = sample_rate_hz
        self._written = _Outlet()
        self._container = av.open(
            self._written, "w", format=codec.container, options=codec.container_options
        )
        # Else an Ogg stream is numbered at random, and the same sound is other bytes each time.
        self._container.flags |= av.container.Flags.bitexact.value  # type: ignore[operator]
        stream = self._container.add_stream(codec.name, rate=sample_rate_hz, options=codec.options)
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        context.layout = av.AudioLayout("mono")
        context.format = av.AudioFormat(codec.sample_format)
        context.thread_count = 1
        if codec.bit_rate is not None:
            context.bit_rate = codec.bit_rate
        self._stream = stream
        self._position = 0

    def write(self, samples: Samples) -> bytes:
        if len(samples):
            self._send(self._frame(samples))
        return self._written.taken()

    def finish(self) -> bytes:
        self._send(None)
        self._container.close()
        self.sent = self._position
        return self._written.taken()

    def _send(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            if packet.pts is not None and packet.duration is not None and packet.time_base:
                end = round((packet.pts + packet.duration) * packet.time_base * self._rate)
                self.sent = max(self.sent, min(end, self._position))
            self._container.mux(packet)

    def _frame(self, samples: Samples) -> av.AudioFrame:
        wanted = self._codec.sample_format
        data = (
            np.frombuffer(pcm16(Clip(samples, self._rate)), np.int16)
            if wanted == "s16"
            else np.clip(samples, -1.0, 1.0)
        )
        frame = av.AudioFrame.from_ndarray(data[None], format=wanted, layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._position
        self._position += len(samples)
        return frame


class _Outlet:
    """Where libav writes to. It cannot go back, and libav sees that it cannot."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken
