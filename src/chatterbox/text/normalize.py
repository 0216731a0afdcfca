"""Punctuation and spacing as the models saw them in training."""

import re
from typing import Literal

from chatterbox.errors import InvalidRequest

Punctuation = Literal["plain", "wide", "light"]

_QUOTES = (("\u201c", '"'), ("\u201d", '"'), ("\u2018", "'"), ("\u2019", "'"))
_FULL = (
    ("...", ", "),
    ("\u2026", ", "),  # ellipsis
    (":", ","),
    (" - ", ", "),
    (";", ", "),
    ("\u2014", "-"),  # em dash
    ("\u2013", "-"),  # en dash
    (" ,", ","),
    *_QUOTES,
)
_LIGHT = (
    ("\u2026", ", "),
    (":", ","),
    ("\u2014", "-"),
    ("\u2013", "-"),
    (" ,", ","),
    *_QUOTES,
)
_ENDS = (".", "!", "?", "-", ",")
_WIDE_ENDS = (*_ENDS, "\u3001", "\uff0c", "\u3002", "\uff1f", "\uff01")  # of Chinese and Japanese


_CLAUSE_MARK = re.compile(r"\s*[:;](?=\s)|\s+[-\u2013\u2014]+(?=\s)|\s*\u2014\s*")


def normalize(text: str, punctuation: Punctuation) -> str:
    """The utterance as its family expects it: a capital first, rare marks replaced, an end.

    "plain" is English, "wide" knows the full-width ends of sentences too (multilingual), and
    "light" leaves more as it is (turbo, nano). Raises InvalidRequest for text without content.
    """
    text = _collapsed(text[:1].upper() + text[1:] if text[:1].islower() else text)
    for rare, usual in _LIGHT if punctuation == "light" else _FULL:
        text = text.replace(rare, usual)
    text = text.rstrip(" ")
    ends = _WIDE_ENDS if punctuation == "wide" else _ENDS
    return text if text.endswith(ends) else f"{text}."


def normalize_for_reading(text: str) -> str:
    """The utterance for a grapheme-to-phoneme step, which needs "10:30" and "3-4" as they are.

    Marks between clauses become commas, and the end is a full stop unless it asks or exclaims.
    Raises InvalidRequest for text without content.
    """
    text = _collapsed(text)
    for curly, straight in _QUOTES:
        text = text.replace(curly, straight)
    text = _CLAUSE_MARK.sub(", ", text).replace(",  ", ", ").rstrip(" ,;:-\u2013\u2026")
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", '."', '!"', '?"')) else f"{text}."


def _collapsed(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise InvalidRequest("the text is empty", field="text", reason="EMPTY_TEXT")
    return text
