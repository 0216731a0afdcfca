"""What a client may ask of a conversion, from protobuf to domain values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chatterbox.audio.output import OutputFormat
from chatterbox.conversion import ConversionConfig
from chatterbox.errors import InvalidRequest
from chatterbox.v1 import conversion_pb2 as pb
from server import convert
from server.convert_audio import output_format

MAX_PIECE_BYTES = 1024 * 1024
MIN_PCM_HZ, MAX_PCM_HZ = 8_000, 192_000
MAX_SEED: Final = 2**63 - 1
_WIRE_FIELDS: Final = {
    "voice": "voice.name",
    "model": "voice.model",
    "language": "voice.language_code",
    "reference_audio": "voice.reference_audio.content",
}
_SETTINGS: Final = ("voice", "source", "audio_config", "seed")

Settings = pb.ConvertVoiceConfig | pb.ConvertRecordingRequest


def first_config(message: pb.ConvertVoiceRequest) -> pb.ConvertVoiceConfig:
    """The settings in a stream's first message; raises InvalidRequest if they are not there."""
    if message.WhichOneof("convert_request") != "config":
        raise InvalidRequest(
            "the first message must hold config", field="config", reason="CONFIG_MISSING"
        )
    return message.config


def conversion_config(settings: Settings) -> tuple[ConversionConfig, OutputFormat]:
    """What to convert to, and the form of what leaves; raises InvalidRequest."""
    form = output_format(settings.audio_config)
    voice, model, _ = convert.selection(settings.voice)
    seed = settings.seed if settings.HasField("seed") else None
    if seed is not None and seed < 0:
        raise InvalidRequest(
            f"seed must lie in [0, {MAX_SEED}], got {seed}", field="seed", reason="OUT_OF_RANGE"
        )
    config = ConversionConfig(
        voice=voice,
        model=model,
        reference_audio=convert.reference_audio(settings.voice),
        seed=seed,
    )
    return config, form


def pcm_rate_hz(source: pb.SourceFormat) -> int | None:
    """The rate of a source of plain samples, None for a file; raises InvalidRequest."""
    if source.encoding in (pb.SOURCE_ENCODING_UNSPECIFIED, pb.SOURCE_ENCODING_FILE):
        return None
    if source.encoding != pb.SOURCE_ENCODING_PCM:
        raise InvalidRequest(
            f"source encoding {source.encoding} is not read; FILE and PCM are",
            field="source.encoding",
            reason="UNSUPPORTED_ENCODING",
        )
    rate = source.sample_rate_hertz
    if not MIN_PCM_HZ <= rate <= MAX_PCM_HZ:
        raise InvalidRequest(
            f"PCM has {MIN_PCM_HZ} to {MAX_PCM_HZ} samples a second, got {rate}",
            field="source.sample_rate_hertz",
            reason="OUT_OF_RANGE",
        )
    return rate


def audio_piece(message: pb.ConvertVoiceRequest) -> bytes:
    """The sound in a later message; raises InvalidRequest."""
    match message.WhichOneof("convert_request"):
        case "audio":
            if len(message.audio) > MAX_PIECE_BYTES:
                raise InvalidRequest(
                    f"a piece has at most {MAX_PIECE_BYTES} bytes, not {len(message.audio)}",
                    field="audio",
                    reason="TOO_LARGE",
                )
            return message.audio
        case "config":
            raise InvalidRequest(
                "config may only be in the first message", field="config", reason="CONFIG_REPEATED"
            )
        case _:
            raise InvalidRequest(
                "the message holds no audio", field="convert_request", reason="REQUIRED"
            )


@contextmanager
def wire_fields(*, is_live: bool) -> Iterator[None]:
    """Let errors name fields as the client wrote them."""
    try:
        yield
    except InvalidRequest as error:
        path = _WIRE_FIELDS.get(error.field, error.field)
        is_setting = path.partition(".")[0] in _SETTINGS
        error.field = f"config.{path}" if is_live and is_setting else path
        raise
