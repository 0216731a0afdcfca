"""Errors as OpenAI's clients read them, under the paths of OpenAI's API."""

from typing import Any

from server.stack.envoy_types import typed

ERRORS = "openai-errors"  # our own name: a filter of this kind may be there twice
SPEECH_PREFIX, MODELS = "/v1/audio/", "/v1/models"

_MATCHING = "envoy.extensions.common.matching.v3"
# What the server and the transcoder told, under OpenAI's names.
_ERROR = {
    "message": "%RESPONSE_BODY(message)%",
    "type": "%RESP(x-error-type)%",
    "param": "%RESP(x-error-param)%",
    "code": "%RESP(x-error-code)%",
}


def openai_error_filter() -> dict[str, Any]:
    """Above the transcoder, so that it sees the JSON that the transcoder made. Off unless a route
    turns it on."""
    transform = {
        **typed("envoy.extensions.filters.http.transform.v3.TransformConfig"),
        "response_transformation": {
            "body_transformation": {
                "action": "REPLACE",
                "body_format": {"json_format": {"error": _ERROR}},
            }
        },
    }
    return {
        "name": ERRORS,
        "disabled": True,
        "typed_config": {
            **typed(f"{_MATCHING}.ExtensionWithMatcher"),
            "extension_config": {"name": "transform", "typed_config": transform},
            **_unless_it_went_well(),
        },
    }


def with_openai_errors() -> dict[str, Any]:
    """What turns it on, for a route."""
    return {
        ERRORS: {**typed(f"{_MATCHING}.ExtensionWithMatcherPerRoute"), **_unless_it_went_well()}
    }


def _unless_it_went_well() -> dict[str, Any]:
    status = {
        "name": "status",
        "typed_config": {
            **typed("envoy.type.matcher.v3.HttpResponseHeaderMatchInput"),
            "header_name": ":status",
        },
    }
    skip = {
        "name": "skip",
        "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter"),
    }
    matcher = {
        "predicate": {"single_predicate": {"input": status, "value_match": {"prefix": "2"}}},
        "on_match": {"action": skip},
    }
    return {"xds_matcher": {"matcher_list": {"matchers": [matcher]}}}
