"""The OpenAPI 3.1 document of the public services."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from server.openapi.contract import Contract, read_contract
from server.openapi.paths import Operations
from server.openapi.schemas import Schemas, short_name

DISTRIBUTION = "chatterbox-service"
PUBLIC_SERVICES = tuple(
    f"chatterbox.v1.{name}"
    for name in (
        "TextToSpeechService",
        "VoicesService",
        "ModelsService",
        "VoiceConversionService",
        "WatermarkService",
        "OpenAIService",
    )
)
ADMIN_SERVICE = "chatterbox.v1.AdminService"
_INTRODUCTION = """\
Text to speech over HTTP. The same services are there over gRPC and gRPC-Web on the same address,
where text can also be streamed in while sound is streamed out.

Field names may be written in snake_case or camelCase; answers are in snake_case. An error in the
middle of a streamed answer breaks the transfer off. What the edge itself refuses (a path that does
not exist, JSON that cannot be read, a body that is too large) has `http_status`, `message` and
`reason` instead of a google.rpc.Status."""
_OPENAI_ERROR = {
    "type": "object",
    "description": "An error as OpenAI's clients read it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string", "description": "For people; may change."},
                "type": {"type": ["string", "null"]},
                "param": {"type": ["string", "null"], "description": "The field that is wrong."},
                "code": {"type": ["string", "null"], "description": "Stable: switch on it."},
            },
        }
    },
}
_CREDENTIALS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token of the issuer that the operator trusts.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def openapi_text(*, has_admin_api: bool = False) -> str:
    """The document of this version's contract as JSON."""
    services = (*PUBLIC_SERVICES, ADMIN_SERVICE) if has_admin_api else PUBLIC_SERVICES
    return json.dumps(openapi_document(read_contract(), services), indent=1) + "\n"


def openapi_document(contract: Contract, services: Sequence[str]) -> dict[str, Any]:
    """The document of those methods of `services` that have an HTTP binding."""
    schemas = Schemas(contract)
    operations = Operations(contract, schemas)
    paths: dict[str, dict[str, Any]] = {}
    for method in contract.methods:
        if method.service in services:
            path, operation = operations.operation(method)
            assert method.verb not in paths.get(path, {}), f"two methods answer {path}"
            paths.setdefault(path, {})[method.verb] = operation
    tags = [
        {"name": short_name(service), "description": contract.services[service]}
        for service in services
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chatterbox",
            "version": version(DISTRIBUTION),
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{}, *({name: []} for name in _CREDENTIALS)],  # or none, where nobody is asked
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas.components | {"OpenAIError": _OPENAI_ERROR},
            "securitySchemes": _CREDENTIALS,
        },
    }
