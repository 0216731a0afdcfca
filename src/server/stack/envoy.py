"""Envoy's configuration as one function, for a laptop and for production alike.

What each part is for stands beside it; why it stands in this order, docs/adr/0009.
"""

import json
from pathlib import Path
from typing import Any

from server.stack.edge import EdgeConfig, host_and_port
from server.stack.envoy_filters import http_filters
from server.stack.envoy_routes import CLUSTER, local_replies, routes
from server.stack.envoy_tls import balancer_transport, listener_transport
from server.stack.envoy_tracing import collector_clusters, tracing
from server.stack.envoy_types import typed

HEALTH_SERVICE = "chatterbox.v1.TextToSpeechService"
WINDOW_BYTES = 65_536  # per stream: a slow reader holds up seconds of sound, not minutes
CONNECTION_WINDOW_BYTES = 1_048_576

_HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def write_envoy_config(config: EdgeConfig, path: Path) -> None:
    """Write the configuration as JSON, which Envoy reads as it reads YAML."""
    path.write_text(envoy_text(config))


def envoy_text(config: EdgeConfig) -> str:
    """The configuration as JSON."""
    return json.dumps(envoy_config(config), indent=2) + "\n"


def envoy_config(config: EdgeConfig) -> dict[str, Any]:
    """The bootstrap: one listener, one cluster, the admin pages, the limits of the process."""
    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": _address(config.admin)},
        "application_log_config": {"log_format": {"json_format": _own_log()}},
        "static_resources": {
            "listeners": [_listener(config)],
            "clusters": [_cluster(config), *collector_clusters(config)],
        },
        "overload_manager": _overload_manager(config),
    }


def _listener(config: EdgeConfig) -> dict[str, Any]:
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _http_manager(config),
    }
    return {
        "name": "edge",
        "address": _address(config.listen),
        "per_connection_buffer_limit_bytes": 1_048_576,
        "filter_chains": [{"filters": [manager], **listener_transport(config.tls)}],
    }


def _http_manager(config: EdgeConfig) -> dict[str, Any]:
    return {
        **typed(_HTTP_MANAGER),
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "server_name": "chatterbox",
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # The status of a stream that failed in the middle, for HTTP/1.1 clients that look for it.
        "http_protocol_options": {"enable_trailers": True},
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        },
        "max_request_headers_kb": config.max_header_kib,
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "max_headers_count": config.max_header_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": f"{config.idle_timeout_s}s",
        "drain_timeout": "20s",
        "access_log": [_access_log()],
        **tracing(config),
        "local_reply_config": local_replies(),
        "route_config": routes(config),
        "http_filters": http_filters(config),
    }


def _own_log() -> dict[str, str]:
    """What Envoy says of itself, as the other processes say it."""
    return {"timestamp": "%Y-%m-%dT%T.%F%z", "level": "%l", "logger": "edge.%n", "event": "%j"}


def _access_log() -> dict[str, Any]:
    line = {
        "timestamp": "%START_TIME(%Y-%m-%dT%H:%M:%E6SZ)%",
        "level": "info",
        "logger": "edge.requests",
        "event": "request",
        "method": "%REQ(:METHOD)%",
        # Without the query: it may hold what clients ask.
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "grpc_status": "%GRPC_STATUS%",
        "duration_ms": "%DURATION%",
        "sent_bytes": "%BYTES_SENT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_id": "%TRACE_ID%",
    }
    is_health = {"name": ":path", "string_match": {"prefix": "/grpc.health."}}
    return {
        "name": "envoy.access_loggers.file",
        "filter": {
            "and_filter": {
                "filters": [
                    {"not_health_check_filter": {}},
                    {"header_filter": {"header": {**is_health, "invert_match": True}}},
                ]
            }
        },
        "typed_config": {
            **typed("envoy.extensions.access_loggers.file.v3.FileAccessLog"),
            "path": "/dev/stdout",
            "log_format": {"json_format": line},
        },
    }


def _cluster(config: EdgeConfig) -> dict[str, Any]:
    """The balancers. Retries are theirs; the edge only goes to another one when one is away."""
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        "connection_keepalive": {"interval": "30s", "timeout": "5s"},
        "initial_stream_window_size": WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    return {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        **balancer_transport(config.balancer_tls),
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_requests": 4_096,
                    "max_pending_requests": 256,
                    # A smaller budget failed the calls of a burst though another host was fine.
                    "retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 64},
                }
            ]
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {
            protocol: {
                **typed(protocol),
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_interval": "0.25s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": HEALTH_SERVICE},
            }
        ],
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": _address(address)}} for address in config.balancers
                    ]
                }
            ],
        },
    }


def _overload_manager(config: EdgeConfig) -> dict[str, Any]:
    monitors = "envoy.extensions.resource_monitors"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    **typed(f"{monitors}.downstream_connections.v3.DownstreamConnectionsConfig"),
                    "max_active_downstream_connections": config.max_connections,
                },
            },
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    **typed(f"{monitors}.fixed_heap.v3.FixedHeapConfig"),
                    "max_heap_size_bytes": config.max_heap_bytes,
                },
            },
        ],
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [
                    {
                        "name": "envoy.resource_monitors.fixed_heap",
                        "threshold": {"value": threshold},
                    }
                ],
            }
            for action, threshold in (
                ("shrink_heap", 0.9),
                ("stop_accepting_requests", 0.95),
            )
        ],
    }


def _address(address: str) -> dict[str, Any]:
    host, port = host_and_port(address)
    return {"socket_address": {"address": host, "port_value": port}}
