"""Envoy's spans: one per request, under the caller's trace, sent where those of balancer and servers go."""

from typing import Any

from chatterbox.process.tracing import REQUEST_ID, collector_address
from server.stack.edge import EdgeConfig
from server.stack.envoy_types import typed

COLLECTOR = "collector"


def tracing(config: EdgeConfig) -> dict[str, Any]:
    """What the HTTP manager is told of traces; nothing without a collector."""
    if config.otlp_endpoint is None:
        return {}
    collector = {"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "5s"}
    return {
        "tracing": {
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    **typed("envoy.config.trace.v3.OpenTelemetryConfig"),
                    "grpc_service": collector,
                    "service_name": "chatterbox-edge",
                },
            },
            "custom_tags": [{"tag": REQUEST_ID, "request_header": {"name": "x-request-id"}}],
        },
        # An id of the caller's own stays as it is, and says nothing of whether to trace.
        "request_id_extension": {
            "typed_config": {
                **typed("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"),
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
    }


def collector_clusters(config: EdgeConfig) -> list[dict[str, Any]]:
    """Where spans go, if anywhere. A collector that is away costs spans and no requests."""
    if config.otlp_endpoint is None:
        return []
    host, port, _ = collector_address(config.otlp_endpoint)
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    address = {"socket_address": {"address": host, "port_value": port}}
    return [
        {
            "name": COLLECTOR,
            "type": "STRICT_DNS",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                protocol: {
                    **typed(protocol),
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
            "load_assignment": {
                "cluster_name": COLLECTOR,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
    ]
