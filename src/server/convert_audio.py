"""The form in which audio leaves, from protobuf."""

import math
from typing import Final

from chatterbox.audio.encode import Encoding, check_sample_rate
from chatterbox.audio.loudness import MAX_GAIN_DB, MIN_GAIN_DB
from chatterbox.audio.output import OutputFormat
from chatterbox.errors import InvalidRequest
from chatterbox.v1 import synthesis_pb2 as pb

MIN_SPEAKING_RATE, MAX_SPEAKING_RATE = 0.5, 2.0

WIRE_ENCODINGS: Final = {
    Encoding.PCM: pb.AUDIO_ENCODING_PCM,
    Encoding.WAV: pb.AUDIO_ENCODING_LINEAR16,
    Encoding.FLAC: pb.AUDIO_ENCODING_FLAC,
    Encoding.OGG_OPUS: pb.AUDIO_ENCODING_OGG_OPUS,
    Encoding.MP3: pb.AUDIO_ENCODING_MP3,
    Encoding.MULAW: pb.AUDIO_ENCODING_MULAW,
    Encoding.ALAW: pb.AUDIO_ENCODING_ALAW,
}
_ENCODINGS: Final = {wire: encoding for encoding, wire in WIRE_ENCODINGS.items()}


def output_format(config: pb.AudioConfig) -> OutputFormat:
    """The form asked for; raises InvalidRequest naming the field of `audio_config`."""
    form = OutputFormat(
        encoding=_encoding(config.audio_encoding),
        sample_rate_hz=config.sample_rate_hertz or None,
        speaking_rate=_number(
            "speaking_rate",
            config.speaking_rate if config.HasField("speaking_rate") else 1.0,
            MIN_SPEAKING_RATE,
            MAX_SPEAKING_RATE,
        ),
        volume_gain_db=_number("volume_gain_db", config.volume_gain_db, MIN_GAIN_DB, MAX_GAIN_DB),
    )
    if form.sample_rate_hz is not None:
        check_sample_rate(form.encoding, form.sample_rate_hz)
    return form


def _encoding(wire: pb.AudioEncoding.ValueType) -> Encoding:
    if wire == pb.AUDIO_ENCODING_UNSPECIFIED:
        return Encoding.PCM
    if wire not in _ENCODINGS:
        names = (pb.AudioEncoding.Name(known) for known in _ENCODINGS)
        served = ", ".join(name.removeprefix("AUDIO_ENCODING_") for name in names)
        raise InvalidRequest(
            f"audio encoding {wire} is not served; {served} are",
            field="audio_config.audio_encoding",
            reason="UNSUPPORTED_ENCODING",
        )
    return _ENCODINGS[wire]


def _number(name: str, value: float, low: float, high: float) -> float:
    if math.isnan(value) or not low <= value <= high:
        raise InvalidRequest(
            f"{name} must lie in [{low:g}, {high:g}], got {value:g}",
            field=f"audio_config.{name}",
            reason="OUT_OF_RANGE",
        )
    return value
