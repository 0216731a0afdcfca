"""Incremental encoders: clips in as they are made, bytes of a file or stream out."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from chatterbox.audio.clip import Clip
from chatterbox.audio.files import pcm16, wav_header
from chatterbox.audio.tempo import Tempo
from chatterbox.errors import InvalidRequest

Samples = NDArray[np.float32]

SAMPLE_RATES_HZ = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


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
    container_options: dict[str, str] = field(default_factory=dict)
    sample_rates_hz: tuple[int, ...] = SAMPLE_RATES_HZ


_CODECS = {
    Encoding.FLAC: _Codec(name="flac", container="flac", sample_format="s16"),
    Encoding.MP3: _Codec(
        name="libmp3lame",
        container="mp3",
        sample_format="fltp",
        bit_rate=96_000,
        # Both would go back to the beginning of the file, or wait for its end.
        container_options={"write_xing": "0", "id3v2_version": "0"},
    ),
    Encoding.OGG_OPUS: _Codec(
        name="libopus",
        container="ogg",
        sample_format="flt",
        bit_rate=48_000,
        container_options={"page_duration": "20000"},  # us: a packet a page, not a second of them
        sample_rates_hz=(8_000, 16_000, 24_000, 48_000),
    ),
    Encoding.AAC: _Codec(name="aac", container="adts", sample_format="fltp", bit_rate=64_000),
    Encoding.MULAW: _Codec(name="pcm_mulaw", container="mulaw", sample_format="s16"),
    Encoding.ALAW: _Codec(name="pcm_alaw", container="alaw", sample_format="s16"),
}
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


class _Writer(Protocol):
    """Samples at the output's rate to bytes."""

    def write(self, samples: Samples) -> bytes: ...

    def finish(self) -> bytes: ...


class _Stage(Protocol):
    """Samples to samples, some of which it may hold back."""

    def push(self, samples: Samples) -> Samples: ...

    def finish(self) -> Samples: ...


class AudioEncoder:
    """Writes one mono stream down, clip by clip.

    The bytes do not depend on how the stream is cut into clips. What is held back is bounded: at
    most 0.2 s of sound. Not for use by two threads at once.
    """

    def __init__(
        self,
        encoding: Encoding,
        *,
        from_hz: int,
        sample_rate_hz: int | None = None,
        speed: float = 1.0,
    ) -> None:
        """Raises InvalidRequest when the encoding does not know `sample_rate_hz`."""
        to_hz = from_hz if sample_rate_hz is None else sample_rate_hz
        codec = _CODECS.get(encoding)
        known = SAMPLE_RATES_HZ if codec is None else codec.sample_rates_hz
        if to_hz not in known:
            raise InvalidRequest(
                f"{encoding} at {to_hz} Hz is not served; {', '.join(map(str, known))} Hz are",
                field="audio_config.sample_rate_hertz",
                reason="UNSUPPORTED_SAMPLE_RATE",
            )
        self.media_type = _MEDIA_TYPES[encoding]
        self.sample_rate_hz = to_hz
        self._from_hz = from_hz
        self._stages: list[_Stage] = []
        if speed != 1.0:
            self._stages.append(Tempo(speed, from_hz))
        if to_hz != from_hz:
            self._stages.append(_Resampler(from_hz, to_hz))
        self._writer: _Writer = (
            _PcmWriter(to_hz, has_header=encoding is Encoding.WAV)
            if codec is None
            else _LibavWriter(codec, to_hz)
        )

    def encode(self, clip: Clip) -> bytes:
        """The bytes that are ready once this clip has followed the others; maybe none."""
        assert clip.sample_rate_hz == self._from_hz, "a stream keeps its rate"
        samples = clip.samples
        for stage in self._stages:
            samples = stage.push(samples)
        return self._writer.write(samples)

    def finish(self) -> bytes:
        """The rest, and what the format wants at its end. Nothing may be encoded afterwards."""
        samples = np.zeros(0, np.float32)
        for stage in self._stages:
            samples = np.concatenate([stage.push(samples), stage.finish()])
        return self._writer.write(samples) + self._writer.finish()


class _Resampler:
    """SoX's high-quality resampler, piece by piece."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        return np.asarray(self._stream.resample_chunk(samples), np.float32)

    def finish(self) -> Samples:
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return np.asarray(rest, np.float32)


class _PcmWriter:
    """16-bit samples, behind a header if there is one."""

    def __init__(self, sample_rate_hz: int, *, has_header: bool) -> None:
        self._rate = sample_rate_hz
        self._header = wav_header(sample_rate_hz) if has_header else b""

    def write(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + pcm16(Clip(samples, self._rate))

    def finish(self) -> bytes:
        return b""


class _LibavWriter:
    """Any codec of libav in a container that can be written without going back."""

    def __init__(self, codec: _Codec, sample_rate_hz: int) -> None:
        self._codec = codec
        self._rate = sample_rate_hz
        self._written = _Outlet()
        self._container = av.open(
            self._written, "w", format=codec.container, options=codec.container_options
        )
        # Else an Ogg stream is numbered at random, and the same sound is other bytes each time.
        self._container.flags |= av.container.Flags.bitexact.value  # type: ignore[operator]
        stream = self._container.add_stream(codec.name, rate=sample_rate_hz)
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
        return self._written.taken()

    def _send(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
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
