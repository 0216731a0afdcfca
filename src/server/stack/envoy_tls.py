"""TLS at both ends of the edge: to clients, and to the balancers."""

from pathlib import Path
from typing import Any

from chatterbox.process.tls import ClientTls, Tls
from server.stack.envoy_types import typed

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_VERSION = {"tls_minimum_protocol_version": "TLSv1_2"}


def listener_transport(tls: Tls | None) -> dict[str, Any]:
    """The filter chain's part of it."""
    if tls is None:
        return {}
    common: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": _VERSION,
        "tls_certificates": [_certificate(tls.certificate, tls.key)],
    }
    if tls.client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(tls.client_ca)}}
    socket = _socket(
        "DownstreamTlsContext",
        require_client_certificate=tls.client_ca is not None,
        common_tls_context=common,
    )
    return {"transport_socket": socket}


def balancer_transport(tls: ClientTls | None) -> dict[str, Any]:
    """The cluster's part of it. Each balancer must have the name, wherever it was found."""
    if tls is None:
        return {}
    name = {"san_type": "DNS", "matcher": {"exact": tls.name}}
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_params": _VERSION,
        "validation_context": {
            "trusted_ca": {"filename": str(tls.ca)},
            "match_typed_subject_alt_names": [name],
        },
    }
    if tls.certificate is not None and tls.key is not None:
        common["tls_certificates"] = [_certificate(tls.certificate, tls.key)]
    socket = _socket("UpstreamTlsContext", sni=tls.name, common_tls_context=common)
    return {"transport_socket": socket}


def _certificate(certificate: Path, key: Path) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
    }


def _socket(context: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {**typed(f"{_TLS}.{context}"), **fields},
    }
