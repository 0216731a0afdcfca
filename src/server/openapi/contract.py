"""Contract: the messages, enums and services of a descriptor set, with their comments."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

# Numbers of the fields of FileDescriptorProto, DescriptorProto and so on, of which the paths of
# comments are made.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _NESTED_MESSAGE, _NESTED_ENUM = 2, 3, 4
_METHOD, _VALUE = 2, 2

CONTRACT = Path(str(resources.files("chatterbox"))) / "v1" / "contract.binpb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a message. `kind` is the wire type; `type_name` names its message or enum."""

    name: str
    comment: str
    kind: "FieldDescriptorProto.Type.ValueType"
    type_name: str
    is_repeated: bool
    is_required: bool
    is_output_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message by its full name, such as `chatterbox.v1.Voice`."""

    name: str
    comment: str
    fields: tuple[Field, ...]
    entry: tuple[Field, Field] | None = None  # key and value, of a map's entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum by its full name, its values with their comments."""

    name: str
    comment: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method with an HTTP binding; one that has several is listed with each."""

    service: str  # full name
    name: str
    comment: str
    request: str
    response: str
    is_stream: bool
    verb: str  # get, post, ...
    template: str  # /v1/{name=voices/*}
    body: str  # "*", the name of a field, or ""


@dataclass(slots=True)
class Contract:
    """Everything in a descriptor set, by full name."""

    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)  # comments
    methods: list[Method] = field(default_factory=list)


def read_contract(path: Path = CONTRACT) -> Contract:
    """The contract in the file that `make protos` writes."""
    # Parsed with the options of google.api known, or they would be lost.
    assert annotations_pb2.http is not None
    contract = Contract()
    for file in FileDescriptorSet.FromString(path.read_bytes()).file:
        _File(file, contract).read()
    return contract


class _File:
    """One file of the set."""

    def __init__(self, file: FileDescriptorProto, contract: Contract) -> None:
        self._file = file
        self._contract = contract
        self._comments = {
            tuple(place.path): _text(place.leading_comments)
            for place in file.source_code_info.location
        }

    def read(self) -> None:
        prefix = self._file.package
        for index, message in enumerate(self._file.message_type):
            self._message(message, prefix, (_MESSAGE, index))
        for index, enum in enumerate(self._file.enum_type):
            self._enum(enum, prefix, (_ENUM, index))
        for index, service in enumerate(self._file.service):
            name, path = f"{prefix}.{service.name}", (_SERVICE, index)
            self._contract.services[name] = self._comment(path)
            for number, method in enumerate(service.method):
                self._method(method, name, (*path, _METHOD, number))

    def _message(self, message: DescriptorProto, prefix: str, path: tuple[int, ...]) -> None:
        name = f"{prefix}.{message.name}"
        fields = tuple(
            self._field(each, (*path, _FIELD, index)) for index, each in enumerate(message.field)
        )
        self._contract.messages[name] = Message(
            name=name,
            comment=self._comment(path),
            fields=fields,
            entry=(fields[0], fields[1]) if message.options.map_entry else None,
        )
        for index, nested in enumerate(message.nested_type):
            self._message(nested, name, (*path, _NESTED_MESSAGE, index))
        for index, enum in enumerate(message.enum_type):
            self._enum(enum, name, (*path, _NESTED_ENUM, index))

    def _field(self, each: FieldDescriptorProto, path: tuple[int, ...]) -> Field:
        behaviour = each.options.Extensions[field_behavior_pb2.field_behavior]
        return Field(
            name=each.name,
            comment=self._comment(path),
            kind=each.type,
            type_name=each.type_name.removeprefix("."),
            is_repeated=each.label == FieldDescriptorProto.LABEL_REPEATED,
            is_required=field_behavior_pb2.REQUIRED in behaviour,
            is_output_only=field_behavior_pb2.OUTPUT_ONLY in behaviour,
        )

    def _enum(self, enum: EnumDescriptorProto, prefix: str, path: tuple[int, ...]) -> None:
        name = f"{prefix}.{enum.name}"
        values = tuple(
            (value.name, self._comment((*path, _VALUE, index)))
            for index, value in enumerate(enum.value)
        )
        self._contract.enums[name] = Enum(name=name, comment=self._comment(path), values=values)

    def _method(self, method: MethodDescriptorProto, service: str, path: tuple[int, ...]) -> None:
        for rule in _rules(method):
            verb = str(rule.WhichOneof("pattern"))
            self._contract.methods.append(
                Method(
                    service=service,
                    name=method.name,
                    comment=self._comment(path),
                    request=method.input_type.removeprefix("."),
                    response=method.output_type.removeprefix("."),
                    is_stream=method.server_streaming,
                    verb=verb,
                    template=getattr(rule, verb),
                    body=rule.body,
                )
            )

    def _comment(self, path: tuple[int, ...]) -> str:
        return self._comments.get(path, "")


def _rules(method: MethodDescriptorProto) -> Iterator[HttpRule]:
    extensions: Any = method.options.Extensions
    if method.options.HasExtension(annotations_pb2.http):
        rule: HttpRule = extensions[annotations_pb2.http]
        yield rule
        yield from rule.additional_bindings


def _text(comment: str) -> str:
    """A comment without the space that follows its slashes; Markdown, as ours are written."""
    return "\n".join(line.removeprefix(" ") for line in comment.strip("\n").splitlines()).strip()
