"""ServerSettings: every flag and environment variable of the model server.

Nothing else reads the environment. `--max-streams 8` and `CHATTERBOX_MAX_STREAMS=8` are the same
setting; the flag wins.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from chatterbox.errors import ConfigError
from chatterbox.process.logs import LogFormat

DEFAULT_ADDRESS = "127.0.0.1:50051"

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class ServerSettings(BaseSettings):
    """How one model server runs; checked when made, never changed."""

    model_config = SettingsConfigDict(env_prefix="CHATTERBOX_", frozen=True)

    listen: str = Field(
        DEFAULT_ADDRESS,
        pattern=r"^(.+:\d{1,5}|unix:.+)$",
        description="address to serve gRPC on, host:port; port 0 lets the system choose",
    )
    engine: Literal["chatterbox", "tone"] = Field(
        "chatterbox", description="what speaks: the models, or sine waves for tests"
    )
    family: str = Field("tiny", description="model family to load: tiny, english, turbo, ...")
    device: str = Field("cpu", description="where the models run: cpu, cuda, cuda:1, ...")
    weights: Path | None = Field(
        None, description="folder of the family's weights; the bundled ones by default"
    )
    voices: Path | None = Field(None, description="folder of more voices, one folder per voice")

    slots: Count = Field(8, description="utterances decoded together")
    max_waiting: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        32, description="utterances that may wait for a slot"
    )
    threads: Count = Field(2, description="threads of the models on a CPU")
    max_streams: Count = Field(32, description="calls that may speak at once; more are refused")
    max_calls: Count = Field(
        1_000, description="calls of every kind at once, health watches included"
    )
    idle_timeout_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = Field(
        60.0, description="seconds after which a silent live session is ended"
    )
    drain_s: Seconds = Field(
        30.0, description="seconds running streams get to finish when the server stops"
    )

    metrics_port: Port | None = Field(
        None, description="port of the Prometheus endpoint; none by default"
    )
    metrics_host: str = Field("127.0.0.1", description="address of the Prometheus endpoint")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line to write"
    )
    log_format: LogFormat = Field(
        "auto", description="json or console; auto is console on a terminal"
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse_settings(arguments: Sequence[str], *, program: str) -> ServerSettings:
    """Settings from flags over environment over defaults.

    Raises ConfigError with one line that names the flag or variable. `--help` prints and exits.
    """
    parser = _Parser(
        prog=program,
        description="Serve text to speech over gRPC.",
        epilog="Each flag is also an environment variable: --max-streams is "
        "CHATTERBOX_MAX_STREAMS.",
        allow_abbrev=False,
    )
    for name, field in ServerSettings.model_fields.items():
        parser.add_argument(
            _flag(name), dest=name, metavar="VALUE", help=_help(field), default=argparse.SUPPRESS
        )
    return load_settings(**vars(parser.parse_args(arguments)))


def load_settings(**values: Any) -> ServerSettings:
    """Settings from `values` over environment over defaults; raises ConfigError."""
    try:
        return ServerSettings(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return f"{_flag(name)}: {problem['msg']}, got {problem['input']!r}"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    return text if field.default is None else f"{text} (default {field.default})"
