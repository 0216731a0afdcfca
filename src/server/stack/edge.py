"""EdgeConfig: everything about the edge that differs from one installation to the next."""

from dataclasses import dataclass
from pathlib import Path

from chatterbox.errors import ConfigError
from chatterbox.process.addresses import is_local
from chatterbox.process.tls import ClientTls, Tls
from chatterbox.process.tracing import collector_address

# Names that no foreign DNS can make point here (RFC 6761, and ICANN's .internal, by which containers
# know their host). With any other a page could call its own site and reach us.
LOOPBACK_HOSTS = ("localhost", "*.localhost", "127.0.0.1", "[::1]", "*.internal")
LOOPBACK_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What Envoy is to serve, and from where. Addresses are host:port."""

    listen: str
    balancers: tuple[str, ...]  # names are resolved again and again, to all of their addresses
    contract: Path  # the descriptor set that `make protos` writes
    pages: Path  # folder with openapi.json and docs.html
    admin: str = "127.0.0.1:9901"  # Envoy's own; never on an address that others reach
    web_root: Path | None = None  # folder of the web interface; none is served without
    tls: Tls | None = None
    balancer_tls: ClientTls | None = None  # its `ca` and `name` are needed; Envoy has no defaults
    cors_origins: str = LOOPBACK_ORIGINS  # regular expression of the pages that may call
    has_admin_api: bool = False  # whether AdminService is served: who drains backends stops calls
    has_reflection: bool = False
    otlp_endpoint: str | None = None  # http://host:port of a collector; no traces without

    max_request_bytes: int = 33 * 1024 * 1024  # a recording of 32 MiB and what is around it
    max_header_kib: int = 32
    max_header_count: int = 64
    max_connections: int = 10_000
    max_heap_bytes: int = 1024 * 1024 * 1024
    idle_timeout_s: int = 120  # above the balancer's and the server's, whose errors say more
    max_duration_s: int = 3_660  # the balancer's own limit comes first

    def __post_init__(self) -> None:
        """Raises ConfigError for an address that is none, no balancer, or a collector by TLS."""
        if not self.balancers:
            raise ConfigError("the edge needs at least one balancer")
        for address in (self.listen, self.admin, *self.balancers):
            host_and_port(address)
        if self.balancer_tls and not (self.balancer_tls.ca and self.balancer_tls.name):
            raise ConfigError("TLS to the balancers needs an authority and a name to expect")
        if self.otlp_endpoint and collector_address(self.otlp_endpoint)[2]:
            raise ConfigError("the edge sends its traces by http://, to a collector near it")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names, without a port, by which clients may know the edge; `*` where that is any."""
        if not is_local(self.listen):
            return ("*",)
        own = self.listen.rpartition(":")[0]
        return tuple(dict.fromkeys((*LOOPBACK_HOSTS, own)))


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of host:port; raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"an address looks like 127.0.0.1:8080, got {address!r}")
    return host.strip("[]"), int(port)
