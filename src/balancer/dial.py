"""Channels to backends: in the clear on a private network, or by TLS with what they ask for."""

from collections.abc import Callable

import grpc

from balancer.settings import BalancerSettings
from chatterbox.errors import ConfigError
from chatterbox.process.grpc_options import upstream_options
from chatterbox.process.tls import channel_credentials, channel_options

Dial = Callable[[str], grpc.aio.Channel]

MAX_KEY_BYTES = 4_096


def dialler(settings: BalancerSettings) -> Dial:
    """Makes the channel to an address. Raises ConfigError when files cannot be read."""
    tls = settings.backend_tls
    if tls is None:
        return lambda address: grpc.aio.insecure_channel(address, options=upstream_options())
    credentials = channel_credentials(tls)
    if settings.backend_key_file is not None:
        # Of the channel, so that health and load are asked for with it, too.
        key = grpc.access_token_call_credentials(_key_in(settings))
        credentials = grpc.composite_channel_credentials(credentials, key)
    options = [*upstream_options(), *channel_options(tls)]
    return lambda address: grpc.aio.secure_channel(address, credentials, options=options)


def _key_in(settings: BalancerSettings) -> str:
    path = settings.backend_key_file
    assert path is not None
    try:
        with path.open("rb") as file:
            key = file.read(MAX_KEY_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the key in {path}: {error}") from None
    if not key or any(character.isspace() for character in key):
        raise ConfigError(f"{path} does not hold one key and nothing else")
    return key
