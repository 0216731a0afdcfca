"""Text becomes the ids of the reference."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from chatterbox.errors import InvalidRequest
from chatterbox.text.languages import prepare
from chatterbox.text.normalize import normalize
from chatterbox.text.tokenizer import EnglishTokenizer, MultilingualTokenizer, TurboTokenizer

JAPANESE_READER = importlib.util.find_spec("pykakasi") is not None


def test_english_text_becomes_the_reference_s_ids(golden: Any, tokenizer_files: Path) -> None:
    tokenizer = EnglishTokenizer(tokenizer_files / "english" / "tokenizer.json")
    for entry in golden.tokenizers["en"]:
        if not entry["text"].strip():
            continue  # the reference speaks a filler
        assert normalize(entry["text"], "plain") == entry["punc_norm"]
        assert tokenizer.encode(entry["text"]) == entry["ids"]
        assert tokenizer.decode(entry["ids"]) == entry["decoded"]


def test_turbo_text_becomes_the_reference_s_ids(golden: Any, tokenizer_files: Path) -> None:
    folder = tokenizer_files / "turbo"
    tokenizer = TurboTokenizer(
        folder / "vocab.json", folder / "merges.txt", folder / "added_tokens.json"
    )
    for entry in golden.tokenizers["turbo"]:
        assert normalize(entry["text"], "light") == entry["punc_norm"]
        assert tokenizer.encode(entry["text"]) == entry["ids"]


def test_multilingual_text_is_spelled_as_in_the_reference(
    golden: Any, tokenizer_files: Path
) -> None:
    # Its own vocabulary is not public; the string that is looked up does not depend on it.
    tokenizer = MultilingualTokenizer(tokenizer_files / "english" / "tokenizer.json")
    for entry in golden.tokenizers["mtl"]:
        if not entry["text"].strip():
            continue
        assert normalize(entry["text"], "wide") == entry["punc_norm"]
        assert prepare(entry["punc_norm"], None, None) == entry["preprocessed"]
        if entry["lang"] == "ja" and has_kanji(entry["text"]) and not JAPANESE_READER:
            continue  # readings need a package that we may not require
        assert tokenizer.spell(entry["text"], entry["lang"]) == entry["final"]


def has_kanji(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)


@pytest.mark.parametrize("text", ["", " \t\n "])
@pytest.mark.parametrize("punctuation", ["plain", "wide", "light"])
def test_text_without_content_is_refused_and_not_filled_in(text: str, punctuation: Any) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        normalize(text, punctuation)

    assert refusal.value.field == "text"
