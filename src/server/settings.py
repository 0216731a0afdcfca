"""ServerSettings: every flag and environment variable of the model server.

Nothing else reads the environment. `--max-streams 8` and `CHATTERBOX_MAX_STREAMS=8` are the same
setting; the flag wins.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatterbox.process.addresses import LISTEN_PATTERN, SERVER
from chatterbox.process.auth.settings import AuthSettings
from chatterbox.process.logs import LogFormat
from chatterbox.process.settings import (
    OTLP_ENDPOINT,
    Count,
    Port,
    PositiveSeconds,
    Seconds,
    load,
    otlp_endpoint,
    parse,
)
from chatterbox.process.tls import TlsSettings


class ServerSettings(AuthSettings, TlsSettings):
    """How one model server runs; checked when made, never changed."""

    model_config = SettingsConfigDict(env_prefix="CHATTERBOX_", frozen=True)

    listen: str = Field(
        SERVER,
        pattern=LISTEN_PATTERN,
        description="address to serve gRPC on, host:port; port 0 lets the system choose",
    )
    engine: Literal["chatterbox", "tone"] = Field(
        "chatterbox", description="what speaks: the models, or sine waves for tests"
    )
    family: str = Field("tiny", description="model family to load: tiny, english, turbo, ...")
    device: str = Field("cpu", description="where the models run: cpu, cuda, cuda:1, ...")
    precision: Literal["fp32", "bf16", "fp16", "int8"] = Field(
        "fp32", description="numbers the models compute in: fp32, bf16, fp16 or int8"
    )
    weights: Path | None = Field(
        None, description="folder of the family's weights; the bundled ones by default"
    )
    voices: Path | None = Field(
        None, description="folder of more voices that nobody may change, one folder per voice"
    )
    voices_dir: Path | None = Field(
        None,
        description="folder where voices are kept that are made here, the same for all servers that "
        "share them; one of the user's by default",
    )

    watermark: bool = Field(
        default=True, description="mark speech as synthetic, inaudibly; --no-watermark does not"
    )

    slots: Count = Field(8, description="utterances decoded together")
    max_waiting: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        32, description="streams that may wait for their turn"
    )
    max_utilisation: Annotated[float, Field(ge=0, le=1)] = Field(
        0.85,
        description="part of the device that live streams may take, as measured, before more wait; "
        "0 lets everybody begin",
    )
    max_wait_s: Seconds = Field(
        10.0, description="seconds a new stream may wait for its turn; more is refused"
    )
    resume_key_file: Path | None = Field(
        None,
        description="file with the key that all model servers share; with one, a stream survives "
        "the loss of its server behind a balancer",
    )
    threads: Count = Field(2, description="threads of the models on a CPU")
    max_streams: Count = Field(32, description="calls that may speak at once; more are refused")
    max_calls: Count = Field(
        1_000, description="calls of every kind at once, health watches included"
    )
    idle_timeout_s: PositiveSeconds = Field(
        60.0, description="seconds after which a silent live session is ended"
    )
    drain_s: Seconds = Field(
        30.0, description="seconds running streams get to finish when the server stops"
    )

    metrics_port: Port | None = Field(
        None, description="port of the Prometheus endpoint; none by default"
    )
    metrics_host: str = Field("127.0.0.1", description="address of the Prometheus endpoint")
    otlp_endpoint: str | None = Field(default_factory=otlp_endpoint, description=OTLP_ENDPOINT)
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line to write"
    )
    log_format: LogFormat = Field(
        "auto", description="json or console; auto is console on a terminal"
    )


def parse_settings(arguments: Sequence[str], *, program: str) -> ServerSettings:
    """Settings from flags over environment over defaults; see `process.settings.parse`."""
    description = "Serve text to speech over gRPC."
    return parse(ServerSettings, arguments, program=program, description=description)


def load_settings(**values: Any) -> ServerSettings:
    """Settings from `values` over environment over defaults; raises ConfigError."""
    return load(ServerSettings, **values)
