"""The process in which foreign audio is decoded: `python -m chatterbox.audio.decode_child SECONDS`.

Standard input is the file. Standard output is one line of JSON, `Told` of `decode.py`, and after it
the samples as little-endian float32. Whatever the file does to the decoder, it does it here.
"""

import contextlib
import io
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

MEMORY_BYTES = 1024**3  # of address space; numpy and FFmpeg alone take about a third of it
CPU_S = 20
MIN_HZ, MAX_HZ = 8_000, 192_000
MAX_CHANNELS = 8

# What people record in, and nothing that can name another file or address.
FORMATS = "wav,mp3,flac,ogg,mov,matroska,aac"
CODECS = (
    "pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw,"
    "mp3,mp3float,flac,vorbis,opus,libopus,aac,alac"
)


class Unreadable(Exception):
    """Why a file is no recording, in words for who sent it."""


def limit_resources(*, hard_cpu_s: int = CPU_S) -> None:
    """Give the process a bound that no file can lift; what is long may renew `CPU_S` by itself."""
    bounds = {
        resource.RLIMIT_AS: (MEMORY_BYTES, MEMORY_BYTES),
        resource.RLIMIT_CPU: (CPU_S, hard_cpu_s),
    }
    for kind, limits in bounds.items():
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
            resource.setrlimit(kind, limits)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it has no business in any file


def decode(data: bytes, max_seconds: float) -> tuple[dict[str, Any], bytes]:
    """What the file is, and the samples of its first `max_seconds`, channels mixed to one.

    Raises Unreadable.
    """
    with opened(io.BytesIO(data)) as (container, stream):
        pieces: list[bytes] = []
        is_damaged = False
        try:
            pieces.extend(mono(container, stream, int(max_seconds * stream.rate)))
        except damage() as error:
            if not pieces:
                raise Unreadable("its sound is damaged") from error
            is_damaged = True  # what comes before the damage may be enough
        if not pieces:
            raise Unreadable("it holds no sound")
        return told(container, stream) | {"is_damaged": is_damaged}, b"".join(pieces)


@contextlib.contextmanager
def opened(file: Any, **options: str) -> Iterator[tuple[Any, Any]]:
    """The container in `file`, which need not be seekable, and its sound; raises Unreadable.

    `options` are FFmpeg's, besides those that bound what is read.
    """
    import av  # after the limits are set

    try:
        container = av.open(
            file,
            options=options
            | {
                "format_whitelist": FORMATS,
                "protocol_whitelist": "pipe",
                "codec_whitelist": CODECS,
            },
        )
    except damage() as error:
        raise Unreadable("it is no WAV, MP3, FLAC, Ogg, M4A or WebM file") from error
    with container:
        if not container.streams.audio:
            raise Unreadable("it holds no sound")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec.name not in CODECS.split(","):
            raise Unreadable(f"its sound is encoded as {codec.name}, which is not read here")
        if not MIN_HZ <= stream.rate <= MAX_HZ:
            raise Unreadable(
                f"it says that it has {stream.rate} samples a second, not {MIN_HZ} to {MAX_HZ}"
            )
        if not 1 <= codec.channels <= MAX_CHANNELS:
            raise Unreadable(f"it says that it has {codec.channels} channels")
        yield container, stream


def damage() -> tuple[type[Exception], ...]:
    """What is raised by a file that is not as it should be."""
    import av

    return av.FFmpegError, ValueError, OverflowError


def told(container: Any, stream: Any) -> dict[str, Any]:
    """What the file is, as the first line of the output says it."""
    return {
        "sample_rate_hz": stream.rate,
        "container": container.format.name.partition(",")[0],
        "codec": stream.codec_context.name,
    }


def mono(container: Any, stream: Any, max_samples: int) -> Iterator[bytes]:
    """The first samples, channels mixed to one, as they are decoded."""
    import av
    import numpy as np

    to_float = av.AudioResampler(format="fltp")
    count = 0
    for frame in container.decode(stream):
        if frame.sample_rate != stream.rate:
            raise ValueError("the sample rate changes")
        for converted in to_float.resample(frame):
            samples = converted.to_ndarray().mean(axis=0, dtype=np.float32)[: max_samples - count]
            count += len(samples)
            yield samples.astype("<f4").tobytes()
            if count >= max_samples:
                return


def main() -> None:
    """Decode standard input; a file that cannot be read is told, not failed on."""
    limit_resources()
    output = sys.stdout.buffer
    try:
        facts, samples = decode(sys.stdin.buffer.read(), float(sys.argv[1]))
    except Unreadable as error:
        output.write(json.dumps({"problem": str(error)}).encode() + b"\n")
        return
    output.write(json.dumps(facts).encode() + b"\n" + samples)


if __name__ == "__main__":
    main()
