"""TLS between our parts and to clients: files in PEM, and what gRPC makes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from pydantic import Field
from pydantic_settings import BaseSettings

from chatterbox.errors import ConfigError

MAX_BYTES = 1024 * 1024
MARK = b"-----BEGIN "

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A server's files. With `client_ca`, only clients with a certificate of that authority get in."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """A client's files. `ca` vouches for the server, None being the authorities of the machine."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    name: str | None = None  # in the server's certificate, if not the name that was dialled

    def __post_init__(self) -> None:
        """Raises ConfigError for half a pair."""
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a certificate and its key belong together")


class TlsSettings(BaseSettings):
    """The flags of a listener that may speak TLS."""

    tls_certificate: Path | None = Field(
        None, description="certificate chain in PEM; calls then come by TLS alone"
    )
    tls_key: Path | None = Field(None, description="its key in PEM")
    tls_client_ca: Path | None = Field(
        None, description="authority in PEM of whom clients must have a certificate"
    )

    @property
    def tls(self) -> Tls | None:
        """What to listen with; None is without TLS. Raises ConfigError."""
        if self.tls_certificate is None and self.tls_key is None:
            if self.tls_client_ca is not None:
                raise ConfigError("--tls-client-ca needs --tls-certificate and --tls-key")
            return None
        if self.tls_certificate is None or self.tls_key is None:
            raise ConfigError("--tls-certificate and --tls-key belong together")
        return Tls(certificate=self.tls_certificate, key=self.tls_key, client_ca=self.tls_client_ca)


def server_credentials(tls: Tls | None) -> grpc.ServerCredentials | None:
    """Credentials that read the files again when they have changed. None without TLS.

    Raises ConfigError when they cannot be read. Files that become wrong later change nothing.
    """
    if tls is None:
        return None
    current = _Certificates(tls)
    if_changed: Any = current.if_changed  # None is an answer, of which the stub does not know
    return grpc.dynamic_ssl_server_credentials(
        current.configuration(), if_changed, tls.client_ca is not None
    )


def channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Raises ConfigError when a file cannot be read."""
    authority, key, certificate = (
        _pem(path) if path is not None else None for path in (tls.ca, tls.key, tls.certificate)
    )
    return grpc.ssl_channel_credentials(authority, key, certificate)


def channel_options(tls: ClientTls) -> list[tuple[str, str]]:
    """What a channel must know beside its credentials."""
    return [("grpc.ssl_target_name_override", tls.name)] if tls.name is not None else []


class _Certificates:
    """The files of a server. gRPC asks on threads of its own, once for each new connection."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._stamp = self._look()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """As the files are now; raises ConfigError."""
        tls = self._tls
        authority = _pem(tls.client_ca) if tls.client_ca is not None else None
        pair = (_pem(tls.key), _pem(tls.certificate))
        return grpc.ssl_server_certificate_configuration([pair], authority)

    def if_changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The same if they are others than last time, else None."""
        stamp = self._look()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            configuration = self.configuration()
        except ConfigError as error:
            log.error("certificates stay as they were", problem=error.message)
            return None
        log.info("certificates changed", certificate=str(self._tls.certificate))
        return configuration

    def _look(self) -> tuple[int, ...]:
        tls = self._tls
        return tuple(_changed_ns(path) for path in (tls.certificate, tls.key, tls.client_ca))


def _changed_ns(path: Path | None) -> int:
    """When a file was last changed; 0 while there is none."""
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


def _pem(path: Path) -> bytes:
    """The content of a file; raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if MARK not in content:
        raise ConfigError(f"{path} is not in PEM")
    return content
