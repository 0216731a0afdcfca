"""EdgeSettings: every flag and environment variable of `chatterbox envoy`.

`--listen 0.0.0.0:443` and `CHATTERBOX_EDGE_LISTEN=0.0.0.0:443` are the same setting; the flag wins.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import BALANCER, EDGE
from chatterbox.process.settings import OTLP_ENDPOINT, Count, otlp_endpoint, parse
from chatterbox.process.tls import ClientTls, TlsSettings
from server.stack.edge import LOOPBACK_ORIGINS, EdgeConfig, host_and_port

CONTRACT_FILE = "contract.binpb"


class EdgeSettings(TlsSettings):
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
    balancer_tls_ca: Path | None = Field(
        None, description="authority in PEM of the balancers' certificates; they are called by TLS"
    )
    balancer_tls_name: str | None = Field(
        None, description="name in every balancer's certificate; that of the first, if unset"
    )
    balancer_tls_certificate: Path | None = Field(
        None, description="certificate in PEM to show to balancers that ask for one"
    )
    balancer_tls_key: Path | None = Field(None, description="its key in PEM")
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
        None, description="size at which a request is refused; 33 MiB by default"
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
            tls=self.tls,
            balancer_tls=self._balancer_tls(),
            cors_origins=self.cors_origins,
            has_admin_api=self.admin_api,
            has_reflection=self.reflection,
            otlp_endpoint=self.otlp_endpoint,
            **limit,
        )

    def _balancer_tls(self) -> ClientTls | None:
        if self.balancer_tls_ca is None:
            if self.balancer_tls_certificate or self.balancer_tls_key or self.balancer_tls_name:
                raise ConfigError("--balancer-tls-... need --balancer-tls-ca")
            return None
        return ClientTls(
            ca=self.balancer_tls_ca,
            certificate=self.balancer_tls_certificate,
            key=self.balancer_tls_key,
            name=self.balancer_tls_name or host_and_port(self.balancers.partition(",")[0])[0],
        )


def parse_settings(arguments: Sequence[str], *, program: str) -> EdgeSettings:
    """Settings from flags over environment over defaults; see `process.settings.parse`."""
    description = "Write Envoy's configuration, and the files that it names."
    return parse(EdgeSettings, arguments, program=program, description=description)
