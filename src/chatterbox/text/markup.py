"""Markup: what is written in square brackets, and is not for reading aloud.

`[pause:1.5s]` is silence. `[laugh]` is a sound that some models make; one that the model does not
know is left out. Anything else in brackets is text: `[1]`, `[as he put it]`.
"""

import re
from dataclasses import dataclass, field

MAX_PAUSE_S = 10.0
MAX_BRACKET_CHARACTERS = 40  # a longer one is text
MAX_REMARKS = 20  # of one stream: more of the same tell nothing new

# Of Turbo and Nano, whose vocabulary has a token for each.
EXPRESSIVE_TAGS = (
    "angry",
    "fear",
    "surprised",
    "whispering",
    "advertisement",
    "dramatic",
    "narration",
    "crying",
    "happy",
    "sarcastic",
    "clear throat",
    "sigh",
    "shush",
    "cough",
    "groan",
    "sniff",
    "gasp",
    "chuckle",
    "laugh",
)

_BRACKET = re.compile(rf"\[([^\[\]\n]{{1,{MAX_BRACKET_CHARACTERS}}})\]")
_OPEN = re.compile(rf"\[[^\[\]\n]{{0,{MAX_BRACKET_CHARACTERS}}}$")
_PAUSE = re.compile(r"pause\s*:\s*(\d{1,6}(?:\.\d{1,6})?)\s*(ms|s)?", re.IGNORECASE)
_MEANS_PAUSE = re.compile(r"pause\b", re.IGNORECASE)
_ONE_WORD = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True, slots=True)
class AskedPause:
    """Silence that somebody wrote down."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Remark:
    """What was left out or altered, for whoever sent the text. `code` is UPPER_SNAKE."""

    code: str
    message: str


Part = str | AskedPause | Remark


@dataclass(slots=True)
class Markup:
    """Takes brackets out of text that comes in pieces, cut anywhere.

    `tags` are those that the model knows, as "laugh"; they stay in the text, as `[laugh]`. Text from
    an open bracket on is held until the bracket closes or cannot be markup.
    """

    tags: frozenset[str]
    held: str = ""
    _remarked: set[Remark] = field(default_factory=set)

    def push(self, fragment: str) -> list[Part]:
        """The parts that are complete, in order; none of the texts is empty."""
        text = self.held + fragment
        is_open = _OPEN.search(text)
        cut = len(text) if is_open is None else is_open.start()
        self.held = text[cut:]
        return self._parts(text[:cut])

    def flush(self) -> list[Part]:
        """What is held: no bracket will close any more."""
        text = self.drop()
        return [text] if text else []

    def drop(self) -> str:
        """Forget what is held and return it."""
        dropped, self.held = self.held, ""
        return dropped

    def _parts(self, text: str) -> list[Part]:
        parts: list[Part] = []
        written = ""  # before the next part that is not text
        end = 0
        for match in _BRACKET.finditer(text):
            written += text[end : match.start()]
            end = match.end()
            for part in self._meaning(match[1].strip(), match[0]):
                if isinstance(part, str):
                    written += part
                    continue
                if isinstance(part, AskedPause) and written:
                    parts.append(written)
                    written = ""
                parts.append(part)
        written += text[end:]
        return [*parts, written] if written else parts

    def _meaning(self, inside: str, whole: str) -> list[Part]:
        if pause := _PAUSE.fullmatch(inside):
            return self._pause(float(pause[1]) / (1000 if pause[2] == "ms" else 1))
        name = " ".join(inside.lower().replace("_", " ").split())
        if name in self.tags:
            return [f"[{name}]"]
        if _MEANS_PAUSE.match(inside):
            return self._remark(
                "PAUSE_INVALID", f"{whole} is not like [pause:1.5s]; it is left out"
            )
        if name in EXPRESSIVE_TAGS or _ONE_WORD.fullmatch(inside):
            return self._remark("TAG_UNKNOWN", f"the model has no tag {whole}; it is left out")
        return [whole]

    def _pause(self, seconds: float) -> list[Part]:
        if seconds <= MAX_PAUSE_S:
            return [AskedPause(seconds)]
        message = f"a pause lasts at most {MAX_PAUSE_S:g} s, not {seconds:g} s"
        return [*self._remark("PAUSE_SHORTENED", message), AskedPause(MAX_PAUSE_S)]

    def _remark(self, code: str, message: str) -> list[Part]:
        """Once for each, so that a long text does not give a thousand of them."""
        remark = Remark(code, message)
        if remark in self._remarked or len(self._remarked) >= MAX_REMARKS:
            return []
        self._remarked.add(remark)
        return [remark]
