"""BalancerSettings: every flag and environment variable of the balancer.

Nothing else reads the environment. `--max-queue 8` and `CHATTERBOX_BALANCER_MAX_QUEUE=8` are the
same setting; the flag wins.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import BALANCER, LISTEN_PATTERN, SERVER
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
from chatterbox.process.tls import ClientTls, TlsSettings


class BalancerSettings(AuthSettings, TlsSettings):
    """How one balancer runs; checked when made, never changed."""

    model_config = SettingsConfigDict(env_prefix="CHATTERBOX_BALANCER_", frozen=True)

    listen: str = Field(
        BALANCER,
        pattern=LISTEN_PATTERN,
        description="address to serve gRPC on, host:port; port 0 lets the system choose",
    )
    backends: str = Field(
        SERVER,
        description="where the model servers are: host:port,host:port or file:PATH, one a line, "
        "or dns:NAME:PORT, every address of the name",
    )
    discovery_s: PositiveSeconds = Field(
        1.0, description="seconds between two looks at the file or the name"
    )
    health_service: str = Field(
        "chatterbox.v1.TextToSpeechService",
        description="service that a backend must be SERVING to be offered calls",
    )

    backend_tls_ca: Path | None = Field(
        None, description="authority in PEM of the backends' certificates; they are called by TLS"
    )
    backend_tls_name: str | None = Field(
        None, description="name in every backend's certificate; the one in its address, if unset"
    )
    backend_tls_certificate: Path | None = Field(
        None, description="certificate in PEM to show to backends that ask for one"
    )
    backend_tls_key: Path | None = Field(None, description="its key in PEM")
    backend_key_file: Path | None = Field(
        None, description="file with an API key of role balancer, for backends that ask for one"
    )

    backend_streams: Count = Field(
        32, description="calls that may speak on one backend; fewer if it says so itself"
    )
    max_queue: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        64, description="calls that may wait for a place; more are refused"
    )
    queue_wait_s: Seconds = Field(5.0, description="seconds a call waits for a place at most")
    max_calls: Count = Field(
        2_000, description="calls that are forwarded at once; more are refused"
    )
    max_retries: Annotated[int, Field(ge=0, le=4)] = Field(
        2, description="further attempts at a call that no backend has begun to answer"
    )
    slow_start_s: Seconds = Field(
        5.0, description="seconds in which a new backend's share grows from a tenth to its whole"
    )

    idle_timeout_s: PositiveSeconds = Field(
        90.0, description="seconds without a message either way after which a call is ended"
    )
    max_duration_s: PositiveSeconds = Field(
        3_600.0, description="seconds after which a call is ended whatever it does"
    )
    lame_duck_s: Seconds = Field(
        0.0, description="seconds a stopping balancer says so and still takes calls"
    )
    drain_s: Seconds = Field(
        30.0, description="seconds running calls then get to finish when the balancer stops"
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

    @property
    def backend_tls(self) -> ClientTls | None:
        """How backends are called; None is without TLS. Raises ConfigError."""
        if self.backend_tls_ca is None:
            if self.backend_key_file is not None:
                raise ConfigError(
                    "--backend-key-file needs --backend-tls-ca: a key goes by TLS alone"
                )
            if self.backend_tls_certificate or self.backend_tls_key or self.backend_tls_name:
                raise ConfigError("--backend-tls-... need --backend-tls-ca")
            return None
        return ClientTls(
            ca=self.backend_tls_ca,
            certificate=self.backend_tls_certificate,
            key=self.backend_tls_key,
            name=self.backend_tls_name,
        )


def parse_settings(arguments: Sequence[str], *, program: str) -> BalancerSettings:
    """Settings from flags over environment over defaults; see `process.settings.parse`."""
    description = "Forward gRPC calls to the least busy of many model servers."
    return parse(BalancerSettings, arguments, program=program, description=description)


def load_settings(**values: Any) -> BalancerSettings:
    """Settings from `values` over environment over defaults; raises ConfigError."""
    return load(BalancerSettings, **values)
