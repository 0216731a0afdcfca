"""Pages of a list that is ordered by id (AIP-158)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from chatterbox.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000
MAX_TOKEN_CHARACTERS = 200

T = TypeVar("T")


def page_of(
    items: Sequence[T], *, key: Callable[[T], str], page_size: int, page_token: str
) -> tuple[Sequence[T], str]:
    """One page and the token of the next, "" after the last. `items` are in the order of `key`.

    A token names the last item of its page, so that items added or removed between two calls
    neither repeat nor hide others. Raises InvalidRequest naming the field.
    """
    if page_size < 0:
        raise InvalidRequest(
            f"page_size must be at least 0, got {page_size}",
            field="page_size",
            reason="OUT_OF_RANGE",
        )
    size = min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    after = _decode(page_token)
    rest = [item for item in items if key(item) > after]
    page = rest[:size]
    return page, _encode(key(page[-1])) if len(rest) > size else ""


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(token: str) -> str:
    try:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ValueError
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise InvalidRequest(
            "page_token is not one that this server gave out",
            field="page_token",
            reason="INVALID_PAGE_TOKEN",
        ) from None
