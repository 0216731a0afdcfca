"""Which path goes where, and how errors of Envoy's own look."""

from typing import Any

from server.stack.edge import EdgeConfig

CLUSTER = "balancers"
SPEECH_PREFIX = "/v1/audio/"  # OpenAI's
ORIGINAL_PATH = "x-envoy-original-path"  # what the transcoder leaves of a path
ADMIN_SERVICE = "/chatterbox.v1.AdminService/"
MAX_PAGE_BYTES = 1_048_576  # of openapi.json and docs.html

TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
TRANSFORM = "envoy.filters.http.transform"
FILE_SERVER = "envoy.filters.http.file_server"
HEADER_MUTATION = "envoy.filters.http.header_mutation"
CORS = "envoy.filters.http.cors"

_ALLOWED_HEADERS = (
    "authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout,x-request-id,range"
)
_EXPOSED_HEADERS = "grpc-status,grpc-message,grpc-status-details-bin,x-request-id"
_CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "css": "text/css",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "woff2": "font/woff2",
    "wasm": "application/wasm",
}


def typed(name: str) -> dict[str, str]:
    """The type mark of an extension's message."""
    return {"@type": f"type.googleapis.com/{name}"}


def routes(config: EdgeConfig) -> dict[str, Any]:
    """All paths. The first that fits is taken."""
    listed = [
        _speech_route(config),
        {"match": {"prefix": "/v1/"}, "name": "rest", "route": _to_balancers(config)},
        *_grpc_routes(config),
        _page("/openapi.json", config.pages / "openapi.json", "application/json"),
        _page("/docs", config.pages / "docs.html", "text/html; charset=utf-8"),
        *_web_routes(config),
    ]
    return {
        "name": "edge",
        "max_direct_response_body_size_bytes": MAX_PAGE_BYTES,
        # Of the way inside, and no client's business.
        "response_headers_to_remove": [
            "grpc-accept-encoding",
            "x-envoy-upstream-service-time",
            "x-served-by",
        ],
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "typed_per_filter_config": {CORS: _cors_policy(config)},
                "routes": listed,
            }
        ],
    }


def _cors_policy(config: EdgeConfig) -> dict[str, Any]:
    return {
        **typed("envoy.extensions.filters.http.cors.v3.CorsPolicy"),
        "allow_origin_string_match": [{"safe_regex": {"regex": config.cors_origins}}],
        "allow_methods": "GET, POST, PATCH, DELETE, OPTIONS",
        "allow_headers": _ALLOWED_HEADERS,
        "expose_headers": _EXPOSED_HEADERS,
        "max_age": "86400",
        # A gRPC server makes nothing of an OPTIONS.
        "forward_not_matching_preflights": False,
    }


def _to_balancers(config: EdgeConfig) -> dict[str, Any]:
    return {
        "cluster": CLUSTER,
        "timeout": "0s",  # a stream may take its time; 15 s is the default
        "idle_timeout": f"{config.idle_timeout_s}s",
        "max_stream_duration": {"grpc_timeout_header_max": f"{config.max_duration_s}s"},
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream",
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        },
    }


def _speech_route(config: EdgeConfig) -> dict[str, Any]:
    """OpenAI's speech. Its answers are sound or events, so all that is JSON is an error."""
    error = {
        "message": "%RESPONSE_BODY(message)%",
        "type": "%RESP(x-error-type)%",
        "param": "%RESP(x-error-param)%",
        "code": "%RESP(x-error-code)%",
    }
    return {
        "match": {"prefix": SPEECH_PREFIX},
        "name": "openai",
        "route": _to_balancers(config),
        "typed_per_filter_config": {
            TRANSFORM: {
                **typed("envoy.extensions.filters.http.transform.v3.TransformConfig"),
                "response_transformation": {
                    "body_transformation": {
                        "action": "REPLACE",
                        "body_format": {"json_format": {"error": error}},
                    }
                },
            }
        },
    }


def _grpc_routes(config: EdgeConfig) -> list[dict[str, Any]]:
    """gRPC and gRPC-Web."""
    plain = {"typed_per_filter_config": {TRANSCODER: _disabled()}}
    listed: list[dict[str, Any]] = []
    if not config.has_admin_api:
        listed.append(
            {"match": {"prefix": ADMIN_SERVICE}, "direct_response": {"status": 404}} | plain
        )
    listed.append(
        {"match": {"prefix": "/chatterbox.v1."}, "name": "grpc", "route": _to_balancers(config)}
    )
    foreign = ["/grpc.health."] + ["/grpc.reflection."] * config.has_reflection
    return listed + [
        {"match": {"prefix": prefix}, "route": _to_balancers(config)} | plain for prefix in foreign
    ]


def _page(path: str, file: Any, content_type: str) -> dict[str, Any]:
    header = {
        "header": {"key": "content-type", "value": content_type},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"filename": str(file)}},
        "response_headers_to_add": [header],
        "typed_per_filter_config": {TRANSCODER: _disabled()},
    }


def _web_routes(config: EdgeConfig) -> list[dict[str, Any]]:
    """The web interface if there is one, else the way to the docs; 404 for the rest."""
    nothing = {"direct_response": {"status": 404}}
    if config.web_root is None:
        plain = {"typed_per_filter_config": {TRANSCODER: _disabled()}}
        return [
            {"match": {"path": "/"}, "redirect": {"path_redirect": "/docs"}} | plain,
            {"match": {"prefix": "/"}} | nothing | plain,
        ]
    files = {TRANSCODER: _disabled(), FILE_SERVER: file_server(config)}
    forever = {HEADER_MUTATION: _cache_control("public, max-age=31536000, immutable")}
    return [
        # Names under assets/ hold a hash of their content.
        {"match": {"prefix": "/assets/"}, "typed_per_filter_config": files | forever} | nothing,
        {"match": {"prefix": "/"}, "typed_per_filter_config": files} | nothing,
    ]


def file_server(config: EdgeConfig) -> dict[str, Any]:
    """Serves the web interface's folder."""
    assert config.web_root is not None, "only an edge with a web interface serves files"
    return {
        **typed("envoy.extensions.filters.http.file_server.v3.FileServerConfig"),
        "manager_config": {"thread_pool": {"thread_count": 1}},
        "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": f"{config.web_root}/"}],
        "content_types": _CONTENT_TYPES,
        "default_content_type": "application/octet-stream",
        "directory_behaviors": [{"default_file": "index.html"}],
    }


def _cache_control(value: str) -> dict[str, Any]:
    header = {"key": "cache-control", "value": value}
    action = {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        **typed("envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"),
        "mutations": {"response_mutations": [{"append": action}]},
    }


def _disabled() -> dict[str, Any]:
    return {**typed("envoy.config.route.v3.FilterConfig"), "disabled": True}


def local_replies() -> dict[str, Any]:
    """Errors that Envoy makes itself: too large, no such path, nobody there."""
    said = {"inline_string": "%LOCAL_REPLY_BODY%"}
    openai_error = {
        "message": "%LOCAL_REPLY_BODY%",
        "type": "invalid_request_error",
        "param": None,
        "code": "%RESPONSE_CODE_DETAILS%",
    }
    return {
        "mappers": [
            {
                # By either path: the transcoder may have rewritten it by then.
                "filter": _any_of(
                    _header(":path", string_match={"prefix": SPEECH_PREFIX}),
                    _header(ORIGINAL_PATH, string_match={"prefix": SPEECH_PREFIX}),
                ),
                "body_format_override": {"json_format": {"error": openai_error}},
            },
            {
                # For gRPC the body becomes grpc-message, which is read by people. A request that
                # was JSON looks like gRPC, too, once it is translated.
                "filter": _all_of(
                    _header("content-type", string_match={"prefix": "application/grpc"}),
                    _header(ORIGINAL_PATH, present_match=False),
                ),
                "body_format_override": {"text_format_source": said},
            },
            {
                "filter": _all_of(_status_is("GE", 200), _status_is("LE", 399)),
                "body_format_override": {"text_format_source": said},
            },
        ],
        # Not google.rpc.Status, whose code is gRPC's.
        "body_format": {
            "json_format": {
                "http_status": "%RESPONSE_CODE%",
                "message": "%LOCAL_REPLY_BODY%",
                "reason": "%RESPONSE_CODE_DETAILS%",
            }
        },
    }


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}


def _any_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"or_filter": {"filters": list(filters)}}


def _all_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _status_is(relation: str, code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": "edge.unused"}
    return {"status_code_filter": {"comparison": {"op": relation, "value": value}}}
