"""Languages: which the multilingual model speaks, and what each needs before tokenising.

Some need a package that is not among our requirements (its licence, its size, or a model that it
downloads). Where it is missing the text passes through as it is, with one warning.
"""

import functools
import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

_LOG = logging.getLogger(__name__)

MULTILINGUAL = (
    "en", "ar", "da", "de", "el", "es", "fi", "fr", "he", "hi", "it", "ja",
    "ko", "ms", "nl", "no", "pl", "pt", "ru", "sv", "sw", "tr", "zh",
)  # fmt: skip
"""ISO 639-1 codes of the official multilingual checkpoints, English first."""


def primary_code(language: str) -> str:
    """The tag that the model knows for a BCP 47 language: "pt-BR" is "pt"."""
    return language.replace("_", "-").split("-")[0].lower()


def prepare(text: str, language: str | None, cangjie: "Cangjie | None") -> str:
    """Lower-case, decomposed (NFKD) text after the step of its language."""
    text = unicodedata.normalize("NFKD", text.lower())
    if language == "zh":
        return _spell_chinese(text, cangjie)
    if language == "ko":
        return text.strip()  # decomposing has already taken the syllables apart
    step = _steps().get(language or "")
    return text if step is None else step(text)


class Cangjie:
    """Chinese characters by their shape: the table that ships with the multilingual model."""

    def __init__(self, path: Path) -> None:
        """`path` is a JSON list of "glyph<TAB>code" lines."""
        self._code_of: dict[str, str] = {}
        self._glyphs_of: dict[str, list[str]] = {}
        for line in json.loads(path.read_text("utf-8")):
            glyph, code = line.split("\t")[:2]
            self._code_of[glyph] = code
            self._glyphs_of.setdefault(code, []).append(glyph)

    def spell(self, glyph: str) -> str:
        """`[cj_a][cj_b][cj_.]`: the letters, the rank among glyphs of one code, and a stop."""
        code = self._code_of.get(glyph)
        if code is None:
            return glyph
        rank = self._glyphs_of[code].index(glyph)
        letters = code + (str(rank) if rank > 0 else "")
        return "".join(f"[cj_{letter}]" for letter in letters) + "[cj_.]"


def _spell_chinese(text: str, cangjie: Cangjie | None) -> str:
    segmenter = _chinese_segmenter()
    if segmenter is not None:
        text = " ".join(segmenter(text))
    if cangjie is None:
        _warn_once("zh", "the Cangjie table is not installed")
        return text
    spelled = (
        cangjie.spell(character) if unicodedata.category(character) == "Lo" else character
        for character in text
    )
    return "".join(spelled)


@functools.cache
def _warn_once(language: str, why: str) -> None:
    _LOG.warning("text in %r passes through without its language step: %s", language, why)


def _guarded(language: str, load: Callable[[], Callable[[str], str]]) -> Callable[[str], str]:
    """The step of an optional package; the text itself whenever the package is missing or fails."""
    loaded = functools.cache(load)

    def step(text: str) -> str:
        try:
            return loaded()(text)
        except Exception as error:  # somebody else's package, perhaps offline: anything
            _warn_once(language, repr(error))
            return text

    return step


@functools.cache
def _steps() -> dict[str, Callable[[str], str]]:
    return {
        "ja": _guarded("ja", _japanese_reader),
        "he": _guarded("he", _hebrew_pointer),
        "ru": _guarded("ru", _russian_stresser),
    }


def _japanese_reader() -> Callable[[str], str]:
    """Words with kanji as hiragana; は and へ at their start keep a space before them."""
    from pykakasi import kakasi  # type: ignore[import-not-found,unused-ignore]

    reader = kakasi()

    def read(text: str) -> str:
        words = []
        for word in reader.convert(text):
            has_kanji = any("\u4e00" <= character <= "\u9fff" for character in word["orig"])
            reading = word["hira"] if has_kanji else word["orig"]
            apart = has_kanji and reading[:1] in ("\u306f", "\u3078")
            words.append(f" {reading}" if apart else reading)
        return unicodedata.normalize("NFKD", "".join(words))

    return read


def _hebrew_pointer() -> Callable[[str], str]:
    from dicta_onnx import Dicta  # type: ignore[import-not-found,unused-ignore]

    dicta = Dicta()
    return lambda text: str(dicta.add_diacritics(text))


def _russian_stresser() -> Callable[[str], str]:
    from russian_text_stresser.text_stresser import RussianTextStresser  # type: ignore[import-not-found,unused-ignore]

    stresser = RussianTextStresser()
    return lambda text: str(stresser.stress_text(text))


@functools.cache
def _chinese_segmenter() -> Callable[[str], list[str]] | None:
    try:
        from spacy_pkuseg import pkuseg  # type: ignore[import-not-found,unused-ignore]

        segmenter = pkuseg()
    except Exception as error:  # it downloads a model, which fails in many ways
        _warn_once("zh", repr(error))
        return None
    return lambda text: list(segmenter.cut(text))
