"""The web interface, and what a browser is told about every page: how long to keep it, what it may do."""

from typing import Any

from server.stack.edge import EdgeConfig
from server.stack.envoy_types import (
    FILE_SERVER,
    HEADER_MUTATION,
    LUA,
    TRANSCODER,
    disabled,
    header,
    typed,
)
from server.stack.pages import docs_policy

# A folder, or a place inside the interface such as /voices: no file has such a name.
PLACE = "/[^.]*"
FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"
SHORTLY = "public, max-age=3600"

# Its code comes from here and nowhere else; it records reference clips, and plays what it is sent.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",  # components place themselves by style attributes
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
_SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(self), usb=()",
}
_HSTS = "max-age=31536000"

_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "css": "text/css",
    "json": "application/json",
    "map": "application/json",
    "webmanifest": "application/manifest+json",
    "txt": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "wasm": "application/wasm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}

# What Envoy's routes cannot do where there is no cluster behind them: change the path, and tell a file
# that is there from one that is not, which nobody is to keep.
_FILE = """\
function envoy_on_response(response)
  if response:headers():get(":status") >= "400" then
    response:headers():replace("cache-control", "no-store")
  end
end
"""
_PLACE = f"""\
function envoy_on_request(request)
  request:headers():replace(":path", "/index.html")
end
{_FILE}"""
_SCRIPTS = {"file": _FILE, "place": _PLACE}
_READS = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}


def web_routes(config: EdgeConfig) -> list[dict[str, Any]]:
    """The interface if there is one, else the way to the docs; 404 for the rest."""
    plain = {"typed_per_filter_config": {TRANSCODER: disabled()}}
    nothing = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "response_headers_to_add": [header("x-content-type-options", "nosniff")],
    } | plain
    if config.web_root is None:
        return [
            {"match": {"path": "/"}, "redirect": {"path_redirect": "/docs"}} | plain,
            nothing,
        ]
    return [
        # Names under assets/ hold a hash of their content.
        _files(config, {"prefix": "/assets/"}, keep=FOREVER),
        _files(config, {"safe_regex": {"regex": PLACE}}, keep=ASK_FIRST, script="place"),
        _files(config, {"path": "/index.html"}, keep=ASK_FIRST),
        _files(config, {"prefix": "/"}, keep=SHORTLY),
        nothing,
    ]


def web_filters(config: EdgeConfig) -> list[dict[str, Any]]:
    """What serves files, off unless a route turns it on."""
    if config.web_root is None:
        return []
    lua = {
        **typed("envoy.extensions.filters.http.lua.v3.Lua"),
        "source_codes": {name: {"inline_string": code} for name, code in _SCRIPTS.items()},
    }
    return [
        {"name": LUA, "typed_config": lua},  # without a route's word, it has no script
        {"name": FILE_SERVER, "disabled": True, "typed_config": _file_server(config)},
    ]


def docs_headers(config: EdgeConfig) -> list[dict[str, Any]]:
    """What a browser is told about the page at /docs."""
    told = {"cache-control": ASK_FIRST, "content-security-policy": docs_policy()}
    return [header(name, value) for name, value in (told | _security(config)).items()]


def _files(
    config: EdgeConfig, match: dict[str, Any], *, keep: str, script: str = "file"
) -> dict[str, Any]:
    """A route to files; one that is not there is 404."""
    told = {"content-security-policy": POLICY} | _security(config)
    return {
        "match": {**match, "headers": [_READS]},
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            TRANSCODER: disabled(),
            LUA: {**typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute"), "name": script},
            FILE_SERVER: _file_server(config),
            HEADER_MUTATION: {
                **typed("envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"),
                "mutations": {
                    "response_mutations": [
                        *({"append": header(name, value)} for name, value in told.items()),
                        # The script may have had its say.
                        {"append": header("cache-control", keep, action="ADD_IF_ABSENT")},
                    ]
                },
            },
        },
    }


def _security(config: EdgeConfig) -> dict[str, str]:
    return _SECURITY | ({"strict-transport-security": _HSTS} if config.tls else {})


def _file_server(config: EdgeConfig) -> dict[str, Any]:
    return {
        **typed("envoy.extensions.filters.http.file_server.v3.FileServerConfig"),
        "manager_config": {"thread_pool": {"thread_count": 1}},
        "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": f"{config.web_root}/"}],
        "content_types": _CONTENT_TYPES,
        "default_content_type": "application/octet-stream",
        "directory_behaviors": [{"default_file": "index.html"}],
    }
