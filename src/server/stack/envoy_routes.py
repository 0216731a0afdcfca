"""Which path goes where, and how errors of Envoy's own look."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from server.stack.edge import EdgeConfig
from server.stack.envoy_openai import MODELS, SPEECH_PREFIX, with_openai_errors
from server.stack.envoy_origins import foreign_pages, other_hosts
from server.stack.envoy_types import CORS, TRANSCODER, disabled, header, typed
from server.stack.envoy_web import docs_headers, web_routes

CLUSTER = "balancers"
ORIGINAL_PATH = "x-envoy-original-path"  # what the transcoder leaves of a path
ADMIN_SERVICE = "/chatterbox.v1.AdminService/"
MAX_PAGE_BYTES = 1_048_576  # of openapi.json and docs.html

_ALLOWED_HEADERS = (
    "authorization,x-api-key,content-type,x-grpc-web,x-user-agent,grpc-timeout,x-request-id,range,"
    "traceparent,tracestate"
)
_EXPOSED_HEADERS = "grpc-status,grpc-message,grpc-status-details-bin,x-request-id"


def routes(config: EdgeConfig) -> dict[str, Any]:
    """All paths. The first that fits is taken."""
    listed = [
        *foreign_pages(config),
        *_openai_routes(config),
        {"match": {"prefix": "/v1/"}, "name": "rest", "route": _to_balancers(config)},
        *_grpc_routes(config),
        _page("/openapi.json", config.pages / "openapi.json", "application/json"),
        _page(
            "/docs",
            config.pages / "docs.html",
            "text/html; charset=utf-8",
            headers=docs_headers(config),
        ),
        *web_routes(config),
    ]
    return {
        "name": "edge",
        "max_direct_response_body_size_bytes": MAX_PAGE_BYTES,
        "ignore_port_in_host_matching": True,
        # Of the way inside, and no client's business.
        "response_headers_to_remove": [
            "grpc-accept-encoding",
            "x-envoy-upstream-service-time",
            "x-served-by",
        ],
        "virtual_hosts": [
            {
                "name": "all",
                "domains": list(config.hosts),
                "typed_per_filter_config": {CORS: _cors_policy(config)},
                "routes": listed,
            },
            *other_hosts(config),
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


def _openai_routes(config: EdgeConfig) -> list[dict[str, Any]]:
    """OpenAI's speech and models."""
    matches = ({"prefix": SPEECH_PREFIX}, {"path": MODELS}, {"prefix": f"{MODELS}/"})
    return [
        {
            "match": match,
            "name": "openai",
            "route": _to_balancers(config),
            "typed_per_filter_config": with_openai_errors(),
        }
        for match in matches
    ]


def _grpc_routes(config: EdgeConfig) -> list[dict[str, Any]]:
    """gRPC and gRPC-Web."""
    plain = {"typed_per_filter_config": {TRANSCODER: disabled()}}
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


def _page(
    path: str, file: Path, content_type: str, *, headers: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "match": {"path": path},
        "direct_response": {"status": 200, "body": {"filename": str(file)}},
        "response_headers_to_add": [header("content-type", content_type), *headers],
        "typed_per_filter_config": {TRANSCODER: disabled()},
    }


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
                    _header(name, string_match={"prefix": prefix})
                    for name in (":path", ORIGINAL_PATH)
                    for prefix in (SPEECH_PREFIX, MODELS)
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


def _any_of(filters: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"or_filter": {"filters": list(filters)}}


def _all_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _status_is(relation: str, code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": "edge.unused"}
    return {"status_code_filter": {"comparison": {"op": relation, "value": value}}}
