"""What other sites' pages cannot do: call where the browser that shows them can, and they could not."""

from typing import Any

from server.stack.edge import EdgeConfig
from server.stack.envoy_types import TRANSCODER, disabled

API = ("/v1/", "/chatterbox.v1.")


def foreign_pages(config: EdgeConfig) -> list[dict[str, Any]]:
    """Routes that refuse what a page of another site asks for, unless CORS allows it to call.

    CORS keeps the answer from such a page, and not the request from us: a form may be sent anywhere,
    and forget a voice or drain a backend where nobody is asked for a key.
    """
    is_foreign = [
        {"name": "sec-fetch-site", "string_match": {"exact": "cross-site"}},
        {
            "name": "origin",
            "string_match": {"safe_regex": {"regex": config.cors_origins}},
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        },
    ]
    return [
        _refusal({"prefix": prefix, "headers": is_foreign}, "pages of other sites may not call")
        for prefix in API
    ]


def other_hosts(config: EdgeConfig) -> list[dict[str, Any]]:
    """The virtual host for all names but the edge's own, if those are known."""
    if "*" in config.hosts:
        return []
    why = "only this machine is answered; call it localhost"
    return [{"name": "others", "domains": ["*"], "routes": [_refusal({"prefix": "/"}, why)]}]


def _refusal(match: dict[str, Any], why: str) -> dict[str, Any]:
    return {
        "match": match,
        "direct_response": {"status": 403, "body": {"inline_string": why}},
        "typed_per_filter_config": {TRANSCODER: disabled()},
    }
