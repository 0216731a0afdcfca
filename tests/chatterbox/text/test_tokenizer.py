"""Tokenizers beyond the reference's own examples: bad files, languages, the tiny family."""

import json
import logging
from pathlib import Path

import pytest

from chatterbox.errors import CheckpointError, InvalidRequest
from chatterbox.text import languages
from chatterbox.text.languages import Cangjie
from chatterbox.text.normalize import normalize_for_reading
from chatterbox.text.phonemes import SYMBOLS
from chatterbox.text.tokenizer import (
    EnglishTokenizer,
    MultilingualTokenizer,
    TinyTokenizer,
    TurboTokenizer,
)

ENGLISH = Path(__file__).parents[2] / "golden" / "tokenizers" / "english" / "tokenizer.json"


@pytest.fixture
def cangjie(tmp_path: Path) -> Cangjie:
    path = tmp_path / "cangjie.json"
    path.write_text(json.dumps(["\u660e\tab", "\u597d\tvnd\textra", "\u670b\tab"]), "utf-8")
    return Cangjie(path)


def test_a_chinese_character_is_spelled_by_its_shape(cangjie: Cangjie) -> None:
    assert cangjie.spell("\u597d") == "[cj_v][cj_n][cj_d][cj_.]"
    assert cangjie.spell("\u660e") == "[cj_a][cj_b][cj_.]"
    assert cangjie.spell("\u670b") == "[cj_a][cj_b][cj_1][cj_.]", "second of two with one code"
    assert cangjie.spell("\u9f98") == "\u9f98", "not in the table"


def test_a_missing_language_package_lets_the_text_pass_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    languages._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        first = languages.prepare("\u05e9\u05dc\u05d5\u05dd", "he", None)
        languages.prepare("\u05e2\u05d5\u05dc\u05dd", "he", None)

    assert first == "\u05e9\u05dc\u05d5\u05dd"
    assert len(caplog.records) == 1


def test_a_region_does_not_change_the_language_and_an_unknown_one_is_refused() -> None:
    tokenizer = MultilingualTokenizer(ENGLISH)

    assert tokenizer.spell("ol\u00e1", "pt-BR").startswith("[pt]")
    with pytest.raises(InvalidRequest) as refusal:
        tokenizer.encode("hello", "tlh")
    assert refusal.value.field == "language"


def test_the_tiny_family_reads_phonemes_by_its_own_table(tmp_path: Path) -> None:
    path = tmp_path / "symbols.json"
    path.write_text(json.dumps(SYMBOLS), "utf-8")
    ids = TinyTokenizer(path).encode("Hello there")

    assert len(ids) > 6
    assert ids[-1] == SYMBOLS.index(".")
    assert set(ids).isdisjoint({SYMBOLS.index("[START]"), SYMBOLS.index("[STOP]")})
    with pytest.raises(InvalidRequest):
        TinyTokenizer(path).encode("\U0001f600")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("at 10:30  or 3-4", "At 10:30 or 3-4."),
        ("first: one; two \u2014 three -", "First, one, two, three."),
        ("\u201cDone?\u201d", '"Done?"'),
        ("well,", "Well."),
    ],
)
def test_text_for_reading_keeps_numbers_and_ends_like_a_sentence(text: str, read: str) -> None:
    assert normalize_for_reading(text) == read


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")

    for build in (
        lambda: EnglishTokenizer(broken),
        lambda: MultilingualTokenizer(tmp_path / "broken.json"),
        lambda: TinyTokenizer(broken),
        lambda: TurboTokenizer(broken, broken, broken),
    ):
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            build()
