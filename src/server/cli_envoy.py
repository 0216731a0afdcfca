"""`chatterbox envoy`: what an Envoy of one's own needs."""

import sys
from collections.abc import Sequence

from chatterbox.process.addresses import is_local
from server.openapi.contract import CONTRACT
from server.stack.edge_settings import CONTRACT_FILE, parse_settings
from server.stack.envoy import write_envoy_config
from server.stack.pages import write_pages

CONFIG_FILE = "envoy.json"
WHO_ASKS = "the balancers behind it must be the ones that ask for keys (their --keys or --jwks)"


def envoy(arguments: Sequence[str], *, program: str) -> int:
    """Write the configuration and what it names into a folder; the exit code."""
    settings = parse_settings(arguments, program=program)
    config = settings.edge_config()
    write_pages(settings.folder, has_admin_api=config.has_admin_api)
    (settings.folder / CONTRACT_FILE).write_bytes(CONTRACT.read_bytes())
    path = settings.folder / CONFIG_FILE
    write_envoy_config(config, path)
    sys.stdout.write(f"Wrote {path}; start Envoy with: envoy -c {path}\n")
    if not is_local(config.listen):
        sys.stdout.write(f"It lets everybody in; {WHO_ASKS}\n")
    return 0
