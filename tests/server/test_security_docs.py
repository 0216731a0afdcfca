"""The commands in docs/security.md have flags that there are."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.settings import parse_settings as balancer
from server.settings import parse_settings as model_server
from server.stack.edge_settings import parse_settings as edge
from server.stack.settings import parse_settings as stack

DOCS = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
PROGRAMS: dict[str, Callable[..., Any]] = {
    "chatterbox-balancer": balancer,
    "chatterbox-server": model_server,
    "chatterbox envoy": edge,
    "chatterbox up": stack,
}
BLOCKS = "\n".join(re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)).replace("\\\n", " ")
COMMANDS = [
    (program, line.removeprefix(program))
    for line in BLOCKS.splitlines()
    for program in PROGRAMS
    if line.startswith(f"{program} ")
]


def test_every_program_is_told_of() -> None:
    assert {program for program, _ in COMMANDS} == set(PROGRAMS)


@pytest.mark.parametrize(("program", "flags"), COMMANDS)
def test_a_command_has_flags_that_there_are(program: str, flags: str) -> None:
    given = shlex.split(flags.replace("--backends ...", "--backends a:1").replace(" ...", ""))
    settings = PROGRAMS[program](given, program=program)
    assert settings.model_fields_set
    if hasattr(settings, "check_entrance"):
        settings.check_entrance("127.0.0.1:1")
