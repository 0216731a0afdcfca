"""Settings of a process: each a flag and an environment variable, the flag before the variable."""

import argparse
import os
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, TypeVar, get_args

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from chatterbox.errors import ConfigError

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]

OTLP_ENDPOINT = (
    "collector that traces are sent to by OTLP over gRPC, http://localhost:4317; none by default, "
    "or what OTEL_EXPORTER_OTLP_ENDPOINT says"
)

Settings = TypeVar("Settings", bound=BaseSettings)


def otlp_endpoint() -> str | None:
    """What the environment says by OpenTelemetry's own name."""
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse(
    kind: type[Settings], arguments: Sequence[str], *, program: str, description: str
) -> Settings:
    """Settings from flags over environment over defaults.

    Raises ConfigError with one line that names the flag or variable. `--help` prints and exits.
    """
    prefix = kind.model_config.get("env_prefix", "")
    example = next(reversed(kind.model_fields))
    parser = _Parser(
        prog=program,
        description=description,
        epilog="Each flag is also an environment variable: "
        f"{_flag(example)} is {prefix}{example.upper()}.",
        allow_abbrev=False,
    )
    for name, field in _own_first(kind):
        # A switch may stand alone: --reflection is --reflection true.
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if _is_switch(field) else {}
        parser.add_argument(
            _flag(name),
            dest=name,
            metavar="VALUE",
            help=_help(field),
            default=argparse.SUPPRESS,
            **alone,
        )
        if alone and field.default is True:
            opposite = _flag(f"no_{name}")
            parser.add_argument(
                opposite,
                dest=name,
                action="store_const",
                const="false",
                default=argparse.SUPPRESS,
                help=f"the same as {_flag(name)} false",
            )
    return load(kind, **vars(parser.parse_args(arguments)))


def load(kind: type[Settings], **values: Any) -> Settings:
    """Settings from `values` over environment over defaults; raises ConfigError."""
    try:
        return kind(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return f"{_flag(name)}: {problem['msg']}, got {problem['input']!r}"


def _own_first(kind: type[BaseSettings]) -> list[tuple[str, FieldInfo]]:
    """What is inherited, such as TLS, is not what somebody looks for first."""
    return sorted(kind.model_fields.items(), key=lambda item: item[0] not in kind.__annotations__)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_switch(field: FieldInfo) -> bool:
    return bool in (field.annotation, *get_args(field.annotation))


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    has_default = field.default is not None and field.default is not PydanticUndefined
    return f"{text} (default {field.default})" if has_default else text
