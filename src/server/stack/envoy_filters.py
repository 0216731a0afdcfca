"""What happens to a request on its way in, from the top, and to its answer, from the bottom."""

from typing import Any

from chatterbox.process.status import CODE_KEY, PARAM_KEY, TYPE_KEY
from server.stack.edge import EdgeConfig
from server.stack.envoy_openai import openai_error_filter
from server.stack.envoy_routes import CLUSTER
from server.stack.envoy_types import CORS, HEADER_MUTATION, TRANSCODER, typed
from server.stack.envoy_web import web_filters

HEALTH_PATH = "/healthz"
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
# A recording of 12 MiB in base64. What is streamed, such as an upload, is never held as a whole.
MAX_JSON_BYTES = 17 * 1024 * 1024

_FILTERS = "envoy.extensions.filters.http"
_PUBLIC = (
    "TextToSpeechService",
    "VoicesService",
    "ModelsService",
    "VoiceConversionService",
    "WatermarkService",
    "OpenAIService",
)


def http_filters(config: EdgeConfig) -> list[dict[str, Any]]:
    """The chain. Its order is half of its meaning."""
    return [
        _header_mutation(),
        _health_check(),
        _filter(CORS, f"{_FILTERS}.cors.v3.Cors"),
        _filter(
            "envoy.filters.http.body_size_limit",
            f"{_FILTERS}.body_size_limit.v3.BodySizeLimit",
            max_request_bytes=config.max_request_bytes,
        ),
        *web_filters(config),
        openai_error_filter(),
        _filter("envoy.filters.http.grpc_web", f"{_FILTERS}.grpc_web.v3.GrpcWeb"),
        _transcoder(config),
        _filter(
            "envoy.filters.http.grpc_stats",
            f"{_FILTERS}.grpc_stats.v3.FilterConfig",
            stats_for_all_methods=False,  # else every name that a stranger makes up is kept for ever
            enable_upstream_stats=True,
        ),
        _filter(
            "envoy.filters.http.router",
            f"{_FILTERS}.router.v3.Router",
            suppress_envoy_headers=True,
        ),
    ]


def _filter(name: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {**typed(message), **fields}}


def _header_mutation() -> dict[str, Any]:
    """First in, so last out: the transform below has read these by then."""
    gone = [{"remove": key} for key in (TYPE_KEY, CODE_KEY, PARAM_KEY)]
    return _filter(
        HEADER_MUTATION,
        f"{_FILTERS}.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": gone},
    )


def _health_check() -> dict[str, Any]:
    """For load balancers that only speak HTTP: 200 while a balancer serves, else 503."""
    path = {"name": ":path", "string_match": {"exact": HEALTH_PATH}}
    return _filter(
        "envoy.filters.http.health_check",
        f"{_FILTERS}.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[path],
        cluster_min_healthy_percentages={CLUSTER: {"value": 1}},
    )


def _transcoder(config: EdgeConfig) -> dict[str, Any]:
    names = _PUBLIC + ("AdminService",) * config.has_admin_api
    return _filter(
        TRANSCODER,
        f"{_FILTERS}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(config.contract),
        services=[f"chatterbox.v1.{name}" for name in names],
        # Else the route is picked again for the gRPC path, and filters above see another one.
        match_incoming_request_route=True,
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
        },
        convert_grpc_status=True,
        case_insensitive_enum_parsing=True,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": True,
            "stream_newline_delimited": True,
        },
        max_request_body_size=MAX_JSON_BYTES,
        max_response_body_size=MAX_RESPONSE_BYTES,
    )
