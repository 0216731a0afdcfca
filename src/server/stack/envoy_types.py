"""What the parts of Envoy's configuration are made of."""

from typing import Any

TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
FILE_SERVER = "envoy.filters.http.file_server"
HEADER_MUTATION = "envoy.filters.http.header_mutation"
CORS = "envoy.filters.http.cors"
LUA = "envoy.filters.http.lua"


def typed(name: str) -> dict[str, str]:
    """The type mark of an extension's message."""
    return {"@type": f"type.googleapis.com/{name}"}


def disabled() -> dict[str, Any]:
    """A filter that a route does without."""
    return {**typed("envoy.config.route.v3.FilterConfig"), "disabled": True}


def header(name: str, value: str, *, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    """A header that is set."""
    return {"header": {"key": name, "value": value}, "append_action": action}
