"""Schemas: protobuf messages as JSON Schema, as protobuf's JSON writes them."""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Wire

from server.openapi.contract import Contract, Enum, Field, Message

Schema = dict[str, Any]

_INTEGER: Schema = {"type": "integer", "format": "int32"}
_UNSIGNED: Schema = {"type": "integer", "format": "int64", "minimum": 0}
# Written as a string, since a JSON number may not hold 64 bits; read as either.
_LONG: Schema = {"type": ["string", "integer"], "format": "int64"}
_SCALARS: dict[int, Schema] = {
    Wire.TYPE_STRING: {"type": "string"},
    Wire.TYPE_BOOL: {"type": "boolean"},
    Wire.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Wire.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Wire.TYPE_FLOAT: {"type": "number", "format": "float"},
    Wire.TYPE_INT32: _INTEGER,
    Wire.TYPE_SINT32: _INTEGER,
    Wire.TYPE_SFIXED32: _INTEGER,
    Wire.TYPE_UINT32: _UNSIGNED,
    Wire.TYPE_FIXED32: _UNSIGNED,
    Wire.TYPE_INT64: _LONG,
    Wire.TYPE_SINT64: _LONG,
    Wire.TYPE_SFIXED64: _LONG,
    Wire.TYPE_UINT64: _LONG,
    Wire.TYPE_FIXED64: _LONG,
}
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?\d+(\.\d{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}


class Schemas:
    """The schemas that are referred to, collected as they are."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._found: dict[str, Schema] = {}

    @property
    def components(self) -> dict[str, Schema]:
        """Every schema referred to so far, by its short name."""
        return dict(sorted(self._found.items()))

    def reference(self, name: str) -> Schema:
        """A schema of a message or enum: itself if it is well known, else a reference."""
        if name in WELL_KNOWN:
            return WELL_KNOWN[name]
        short = short_name(name)
        if short not in self._found:
            self._found[short] = {}  # a message may hold itself
            enum = self._contract.enums.get(name)
            self._found[short] = (
                _enum(enum) if enum is not None else self.message(self._contract.messages[name])
            )
        return {"$ref": f"#/components/schemas/{short}"}

    def message(self, message: Message, *, without: frozenset[str] = frozenset()) -> Schema:
        """An object of the message's fields but those `without`, which are elsewhere."""
        fields = [each for each in message.fields if each.name not in without]
        schema: Schema = {
            "type": "object",
            "properties": {each.name: self.described(each) for each in fields},
        }
        required = [each.name for each in fields if each.is_required]
        if required:
            schema["required"] = required
        return _with(schema, description=message.comment)

    def described(self, each: Field) -> Schema:
        """A field's schema with its comment."""
        schema = _with(self.field(each), description=each.comment)
        return schema | {"readOnly": True} if each.is_output_only else schema

    def field(self, each: Field) -> Schema:
        """A field's schema."""
        one = (
            self.reference(each.type_name)
            if each.type_name and not self._is_map(each)
            else _SCALARS.get(each.kind, {})
        )
        if self._is_map(each):
            entry = self._contract.messages[each.type_name].entry
            assert entry is not None
            return {"type": "object", "additionalProperties": self.field(entry[1])}
        return {"type": "array", "items": one} if each.is_repeated else one

    def _is_map(self, each: Field) -> bool:
        message = self._contract.messages.get(each.type_name)
        return message is not None and message.entry is not None


def short_name(name: str) -> str:
    """`chatterbox.v1.Backend.State` as `Backend.State`; foreign names keep their package."""
    return name.removeprefix("chatterbox.v1.")


def _enum(enum: Enum) -> Schema:
    values = "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in enum.values)
    return {
        "type": "string",
        "enum": [name for name, _ in enum.values],
        "description": f"{enum.comment}\n\n{values}",
    }


def _with(schema: Schema, *, description: str) -> Schema:
    return schema | {"description": description} if description else schema
