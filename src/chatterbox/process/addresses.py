"""Where our processes listen, and where they are found."""

import ipaddress
import re

import grpc

from chatterbox.errors import ConfigError

SERVER = "127.0.0.1:50051"
BALANCER = "127.0.0.1:50050"
EDGE = "127.0.0.1:8080"
LISTEN_PATTERN = r"^(.+:\d{1,5}|unix:.+)$"


def listen_on(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    """The port that was bound, with TLS if there are credentials; raises ConfigError when none is."""
    try:
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigError(f"cannot listen on {address}: in use, or not an address here") from None


def is_local(address: str) -> bool:
    """Whether only this machine reaches an address of ours: host:port or unix:PATH."""
    return address.startswith("unix:") or is_loopback(address.rpartition(":")[0])


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself. A name that is not its own may be anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def dial_address(listen: str, port: int) -> str:
    """Where a client on this machine finds a server that listens on `listen`."""
    if listen.startswith("unix:"):
        return listen
    host = listen.rpartition(":")[0]
    return f"localhost:{port}" if host in ("0.0.0.0", "[::]") else f"{host}:{port}"


def backend_id(address: str) -> str:
    """The id of the backend at an address: letters, digits and `-` (AIP-122). An id is its own."""
    return re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-")
