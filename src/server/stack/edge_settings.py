"""EdgeSettings: every flag and environment variable of `chatterbox envoy`.

`--listen 0.0.0.0:443` and `CHATTERBOX_EDGE_LISTEN=0.0.0.0:443` are the same setting; the flag wins.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import BALANCER, EDGE
from chatterbox.process.settings import OTLP_ENDPOINT, Count, otlp_endpoint, parse
from server.stack.edge import LOOPBACK_ORIGINS, EdgeConfig, Tls

CONTRACT_FILE = "contract.binpb"


class EdgeSettings(BaseSettings):
    """How Envoy is to run outside of `chatterbox up`; checked when made, never changed."""

    model_config = SettingsConfigDict(env_prefix="CHATTERBOX_EDGE_", frozen=True)

    folder: Path = Field(
        Path("envoy"), description="where to write envoy.json and the files that it names"
    )
    mounted_at: Path | None = Field(
        None, description="where Envoy will find that folder; there where it is written by default"
    )
    listen: str = Field(EDGE, description="address that Envoy listens on, host:port")
    balancers: str = Field(
        BALANCER,
        description="where the balancers are, host:port,host:port; every address of a name is used",
    )
    admin: str = Field("127.0.0.1:9901", description="address of Envoy's own pages")
    tls_certificate: Path | None = Field(None, description="certificate chain in PEM")
    tls_key: Path | None = Field(None, description="its key in PEM")
    tls_client_ca: Path | None = Field(
        None, description="authority in PEM of whom clients must have a certificate"
    )
    cors_origins: str = Field(
        LOOPBACK_ORIGINS,
        description="regular expression of the origins whose pages may call; this machine's by "
        "default",
    )
    web_root: Path | None = Field(None, description="folder of the web interface, if there is one")
    admin_api: bool = Field(
        default=False, description="whether backends may be listed and drained through the edge"
    )
    reflection: bool = Field(default=False, description="whether gRPC reflection is served")
    otlp_endpoint: str | None = Field(default_factory=otlp_endpoint, description=OTLP_ENDPOINT)
    max_request_bytes: Count | None = Field(
        None, description="size at which a request is refused; 16 MiB by default"
    )

    def edge_config(self) -> EdgeConfig:
        """What Envoy is to serve; raises ConfigError."""
        folder = (self.mounted_at or self.folder).absolute()
        limit = (
            {} if self.max_request_bytes is None else {"max_request_bytes": self.max_request_bytes}
        )
        return EdgeConfig(
            listen=self.listen,
            balancers=tuple(filter(None, self.balancers.split(","))),
            contract=folder / CONTRACT_FILE,
            pages=folder,
            admin=self.admin,
            web_root=self.web_root,
            tls=self._tls(),
            cors_origins=self.cors_origins,
            has_admin_api=self.admin_api,
            has_reflection=self.reflection,
            otlp_endpoint=self.otlp_endpoint,
            **limit,
        )

    def _tls(self) -> Tls | None:
        if self.tls_certificate is None and self.tls_key is None:
            if self.tls_client_ca is not None:
                raise ConfigError("--tls-client-ca needs --tls-certificate and --tls-key")
            return None
        if self.tls_certificate is None or self.tls_key is None:
            raise ConfigError("--tls-certificate and --tls-key belong together")
        return Tls(certificate=self.tls_certificate, key=self.tls_key, client_ca=self.tls_client_ca)


def parse_settings(arguments: Sequence[str], *, program: str) -> EdgeSettings:
    """Settings from flags over environment over defaults; see `process.settings.parse`."""
    description = "Write Envoy's configuration, and the files that it names."
    return parse(EdgeSettings, arguments, program=program, description=description)
