"""StackSettings: every flag and environment variable of `chatterbox up`.

Nothing else reads the environment. `--servers 4` and `CHATTERBOX_UP_SERVERS=4` are the same
setting; the flag wins.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chatterbox.process.addresses import BALANCER, EDGE, SERVER
from chatterbox.process.auth.settings import AuthSettings
from chatterbox.process.settings import (
    OTLP_ENDPOINT,
    Count,
    PositiveSeconds,
    Seconds,
    load,
    otlp_endpoint,
    parse,
)
from server.stack.identities import Identities
from server.stack.web import Choice

TCP_PATTERN = r"^.+:\d{1,5}$"


def _default_servers() -> int:
    """Two, so that one may fail; one where they would only share a core."""
    return min(2, os.cpu_count() or 1)


class StackSettings(AuthSettings):
    """How one machine runs the whole stack; checked when made, never changed.

    Ports that were not asked for by name give way when they are taken.
    """

    model_config = SettingsConfigDict(env_prefix="CHATTERBOX_UP_", frozen=True)

    listen: str = Field(
        EDGE,
        pattern=TCP_PATTERN,
        description="address of the edge: REST, gRPC and gRPC-Web; port 0 chooses a free one",
    )
    balancer_listen: str = Field(
        BALANCER, pattern=TCP_PATTERN, description="address of the balancer: gRPC alone"
    )
    server_listen: str = Field(
        SERVER,
        pattern=TCP_PATTERN,
        description="address of the first model server; the others take the ports behind it",
    )
    servers: Annotated[int, Field(ge=1, le=256)] = Field(
        default_factory=_default_servers,
        description="model servers (default 2, or 1 on one core)",
    )
    threads: Count | None = Field(
        None, description="threads of each model server on a CPU; all share the cores by default"
    )
    server_flags: str = Field(
        "",
        description="further flags of every model server, in one string; {index} is its number: "
        "'--family english --device cuda:{index}'",
    )
    web_root: Choice = Field(
        "auto",
        description="folder of the web interface; auto finds the one that is packaged or built "
        "here, none serves none",
    )
    otlp_endpoint: str | None = Field(default_factory=otlp_endpoint, description=OTLP_ENDPOINT)
    certificates: Path | None = Field(
        None,
        description="folder of certificates, made there if need be: TLS to clients, and between "
        "the parts TLS that asks both sides",
    )
    metrics_port: Annotated[int, Field(ge=1, le=65_000)] | None = Field(
        None,
        description="port of the balancer's Prometheus endpoint on this machine; the model servers' "
        "take the ports behind it; none by default",
    )
    drain_s: Seconds = Field(
        10.0, description="seconds running streams get to finish when the stack stops"
    )
    start_s: PositiveSeconds = Field(
        300.0, description="seconds after which a stack that does not come up is given up"
    )

    @property
    def identities(self) -> Identities:
        """The certificates of the processes, if they have any."""
        return Identities(None if self.certificates is None else self.certificates.absolute())

    @property
    def threads_each(self) -> int:
        """Threads of each model server."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.servers)

    def metrics_flags(self, index: int) -> list[str]:
        """Those of the balancer, 0, or of a model server, from 1 on."""
        if self.metrics_port is None:
            return []
        return ["--metrics-port", str(self.metrics_port + index)]

    def flags_of(self, index: int) -> list[str]:
        """The further flags of one model server."""
        return [flag.replace("{index}", str(index)) for flag in shlex.split(self.server_flags)]


def parse_settings(arguments: Sequence[str], *, program: str) -> StackSettings:
    """Settings from flags over environment over defaults; see `process.settings.parse`."""
    description = "Run model servers, a balancer and Envoy on this machine."
    return parse(StackSettings, arguments, program=program, description=description)


def load_settings(**values: Any) -> StackSettings:
    """Settings from `values` over environment over defaults; raises ConfigError."""
    return load(StackSettings, **values)
