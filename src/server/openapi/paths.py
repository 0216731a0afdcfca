"""Paths: the HTTP bindings of methods as OpenAPI operations."""

import re
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Wire

from server.openapi.contract import Contract, Field, Message, Method
from server.openapi.schemas import WELL_KNOWN, Schema, Schemas, short_name

HTTP_BODY = "google.api.HttpBody"
STATUS = "google.rpc.Status"
OPENAI = "chatterbox.v1.OpenAIService"

_VARIABLE = re.compile(r"\{(?P<name>[a-z_.]+)(?:=(?P<pattern>[^}]+))?\}")
_SPEECH_TYPES = ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm")


class Operations:
    """Makes operations; the schemas they refer to are collected in `schemas`."""

    def __init__(self, contract: Contract, schemas: Schemas) -> None:
        self._contract = contract
        self._schemas = schemas

    def operation(self, method: Method) -> tuple[str, Schema]:
        """The path as OpenAPI writes it, and the operation that belongs to the method's verb."""
        path, in_path = _path(method.template)
        request = self._contract.messages[method.request]
        summary, _, _ = method.comment.partition(".")
        operation: Schema = {
            "operationId": f"{short_name(method.service)}_{method.name}",
            "tags": [short_name(method.service)],
            "summary": " ".join(summary.split()),
            "description": method.comment,
        }
        parameters = [
            *(self._path_parameter(name, request, field) for field, name in in_path.items()),
            *self._query(method, request, in_path),
        ]
        if parameters:
            operation["parameters"] = parameters
        if method.body:
            operation["requestBody"] = self._body(method, request, frozenset(in_path))
        operation["responses"] = self._responses(method)
        return path, operation

    def _path_parameter(self, name: str, request: Message, field: str) -> Schema:
        found = _field(request, field)
        return {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": found.comment if found else "",
        }

    def _query(self, method: Method, request: Message, in_path: dict[str, str]) -> list[Schema]:
        if method.body == "*":
            return []
        taken = {*in_path, method.body}
        return [
            parameter
            for each in request.fields
            if each.name not in taken
            for parameter in self._query_parameters(each, prefix="")
        ]

    def _query_parameters(self, each: Field, *, prefix: str) -> list[Schema]:
        """One for a plain field; for a message one for each of its plain fields, with dots."""
        name = prefix + each.name
        if each.kind == Wire.TYPE_MESSAGE and each.type_name not in WELL_KNOWN:
            assert prefix.count(".") < 3, f"{name} is nested too deep for a query"
            nested = self._contract.messages[each.type_name].fields
            return [
                parameter
                for inner in nested
                if not inner.is_output_only
                for parameter in self._query_parameters(inner, prefix=f"{name}.")
            ]
        return [
            {
                "name": name,
                "in": "query",
                "required": each.is_required,
                "schema": self._schemas.field(each),
                "description": each.comment,
            }
        ]

    def _body(self, method: Method, request: Message, elsewhere: frozenset[str]) -> Schema:
        if method.body != "*":
            found = _field(request, method.body)
            assert found is not None, f"{method.name} has no field {method.body}"
            content = self._content(found.type_name)
        elif elsewhere:
            schema = self._schemas.message(request, without=elsewhere)
            content = {"application/json": {"schema": schema}}
        else:
            content = self._content(method.request)
        return {"required": True, "content": content}

    def _responses(self, method: Method) -> Schema:
        is_speech = method.service == OPENAI and method.response == HTTP_BODY
        error = (
            {"$ref": "#/components/schemas/OpenAIError"}
            if is_speech
            else self._schemas.reference(STATUS)
        )
        return {
            "200": {
                "description": "One JSON object a line, sent as they are made."
                if method.is_stream and method.response != HTTP_BODY
                else "Done.",
                "content": _speech() if is_speech else self._content(method.response),
            },
            "default": {
                "description": "What went wrong, under the HTTP status that suits it.",
                "content": {"application/json": {"schema": error}},
            },
        }

    def _content(self, name: str) -> Schema:
        if name == HTTP_BODY:
            return {"application/octet-stream": {}}
        return {"application/json": {"schema": self._schemas.reference(name)}}


def _speech() -> dict[str, Any]:
    events = {"schema": {"type": "string", "description": "With `stream_format` `sse`."}}
    return {kind: {} for kind in _SPEECH_TYPES} | {"text/event-stream": events}


def _field(message: Message, name: str) -> Field | None:
    return next((each for each in message.fields if each.name == name), None)


def _path(template: str) -> tuple[str, dict[str, str]]:
    """A template without patterns, and what it calls each field.

    `/v1/{name=voices/*}` is `/v1/voices/{voice}`, with `name` called `voice`.
    """
    called: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        field, pattern = match["name"], match["pattern"]
        if pattern is None or "/" not in pattern:
            called[field] = field
            return f"{{{field}}}"
        *before, star = pattern.split("/")
        assert star == "*", f"{template} is a pattern of another kind"
        called[field] = before[-1].removesuffix("s")
        return "/".join([*before, f"{{{called[field]}}}"])

    return _VARIABLE.sub(plain, template), called
