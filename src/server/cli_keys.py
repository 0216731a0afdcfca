"""`chatterbox keys`: who may call a server that asks for keys."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chatterbox.errors import InvalidRequest, NotFound
from chatterbox.process.auth.callers import Role
from chatterbox.process.auth.key_file import changing_keys, read_keys
from chatterbox.process.auth.keys import (
    MAX_NAME_CHARACTERS,
    PREFIX,
    ApiKey,
    digest_of,
    id_of,
    new_key_text,
)

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}
MAX_LIMIT = 1_000_000_000

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Option(
        # Not CHATTERBOX_KEYS, by which a model server would ask for them, too.
        "--file",
        envvar="CHATTERBOX_KEY_FILE",
        help="The file of keys, which servers get as --keys.",
    ),
]
DEFAULT_FILE = Path("keys.json")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; for people.")],
    *,
    file: File = DEFAULT_FILE,
    role: Annotated[
        Role,
        typer.Option(
            help="A speaker changes no voices; an admin also sees and drains backends; balancer is "
            "for a balancer."
        ),
    ] = Role.USER,
    expires_in: Annotated[
        str | None, typer.Option(help="How long it is valid, such as 90d or 12h; always, if unset.")
    ] = None,
    max_streams: Annotated[
        int | None, typer.Option(min=1, max=MAX_LIMIT, help="Streams at once.")
    ] = None,
    characters_per_minute: Annotated[
        int | None, typer.Option(min=1, max=MAX_LIMIT, help="Text, on average.")
    ] = None,
) -> None:
    """Make a key, and print it: the only time that it is seen."""
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidRequest(f"a name has 1 to {MAX_NAME_CHARACTERS} printable characters")
    now = datetime.now(UTC).replace(microsecond=0)
    expires = None if expires_in is None else now + _duration(expires_in)
    with changing_keys(file) as known:
        text, key_id = _new_text(known)
        known[key_id] = ApiKey(
            id=key_id,
            name=name,
            role=role,
            digest=digest_of(text),
            created=now,
            expires=expires,
            max_streams=max_streams,
            characters_per_minute=characters_per_minute,
        )
    sys.stdout.write(text + "\n")
    sys.stderr.write(f"Keep it: it is not kept here. {file} holds what recognises it.\n")


@keys.command("list")
def list_keys(
    *,
    file: File = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the keys."""
    known = read_keys(file).values()
    if as_json:
        shown = [key.model_dump(mode="json", exclude={"digest"}) for key in known]
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return
    headings = ("key", "name", "role", "created", "expires", "streams", "characters/min")
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    now = datetime.now(UTC)
    for key in known:
        table.add_row(
            f"{key.shown}...",
            key.name,
            key.role.value,
            f"{key.created:%Y-%m-%d}",
            _expiry(key, now),
            str(key.max_streams or ""),
            str(key.characters_per_minute or ""),
        )
    Console(width=None if sys.stdout.isatty() else 10_000, markup=False).print(table)


@keys.command()
def revoke(
    names: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="What `list` shows of each, or the key.")
    ],
    *,
    file: File = DEFAULT_FILE,
) -> None:
    """Let keys no longer be valid; servers notice within a second."""
    with changing_keys(file) as known:
        gone = []
        for name in names:
            key_id = id_of(name) or name.removeprefix(PREFIX).removesuffix("...")
            if key_id not in known:
                shown = key_id[:20]  # it may be most of a key
                raise NotFound(f"there is no key {shown!r} in {file}", resource=f"keys/{shown}")
            gone.append(known.pop(key_id))
    for key in gone:
        sys.stdout.write(f"{key.shown}... of {key.name} is revoked\n")


def _new_text(known: dict[str, ApiKey]) -> tuple[str, str]:
    """A new key and its id, which no other has."""
    while True:
        text = new_key_text()
        key_id = id_of(text)
        assert key_id is not None
        if key_id not in known:
            return text, key_id


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([hd])", text)
    if match is None or int(match[1]) == 0:
        raise InvalidRequest(f"--expires-in looks like 90d or 12h, got {text!r}")
    return int(match[1]) * UNITS[match[2]]


def _expiry(key: ApiKey, now: datetime) -> str:
    if key.expires is None:
        return "never"
    return "expired" if key.has_expired(now) else f"{key.expires:%Y-%m-%d %H:%M}"
