"""Which ports the processes get."""

import socket

from chatterbox.errors import ConfigError
from server.stack.edge import host_and_port


class Ports:
    """Gives out addresses that are free now, none of them twice."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def take(self, wanted: str, *, is_fixed: bool) -> str:
        """`wanted`, host:port, or where it is taken another port of the host.

        Port 0 is any. Raises ConfigError when the port `is_fixed` and taken.
        """
        host, port = host_and_port(wanted)
        found = self._free(host, port)
        if found is None and is_fixed:
            raise ConfigError(f"cannot listen on {wanted}: in use, or not an address here")
        while found is None:
            found = self._free(host, 0)
        self._given.add(found)
        return f"[{host}]:{found}" if ":" in host else f"{host}:{found}"

    def _free(self, host: str, port: int) -> int | None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if port == 0:
                    raise ConfigError(f"{host} is not an address of this machine") from None
                return None
            found = int(probe.getsockname()[1])
        return None if found in self._given else found
