"""The id under which every process logs a call: the caller's own, or a new one."""

import re
import secrets
from collections.abc import Iterable
from typing import Any

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(metadata: Iterable[tuple[str, Any]] | None) -> str:
    """The id in a call's metadata if there is a proper one, or a new one."""
    for key, value in metadata or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return secrets.token_hex(8)
