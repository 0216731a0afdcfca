"""Tokenizers: one utterance to the text ids of its model family.

Each puts the text into its family's punctuation first. Ids come without start and stop: T3
frames them. Raises InvalidRequest for text without content.
"""

import json
from pathlib import Path
from typing import Protocol

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from chatterbox.errors import CheckpointError, InvalidRequest
from chatterbox.text.languages import MULTILINGUAL, Cangjie, prepare, primary_code
from chatterbox.text.normalize import normalize, normalize_for_reading
from chatterbox.text.phonemes import is_sound, phonemes_of, symbols_of
from chatterbox.text.words import WordSpan, spans_of


class TextTokenizer(Protocol):
    """Anything that turns an utterance into text ids."""

    def encode(self, text: str, language: str) -> list[int]:
        """The ids of `text`; `language` is BCP 47 and matters to some families only."""
        ...


class WordTokenizer(TextTokenizer, Protocol):
    """One that knows where the words are."""

    def words(self, text: str, language: str) -> list[WordSpan]:
        """The words of `text` and their ids among those of `encode`, in order; maybe none."""
        ...


class EnglishTokenizer:
    """Characters and frequent pairs; spaces have a token of their own."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = _open(path)

    def encode(self, text: str, language: str = "en") -> list[int]:
        return _ids(self._tokenizer, normalize(text, "plain").replace(" ", "[SPACE]"))

    def decode(self, ids: list[int]) -> str:
        """What the ids say; for tests and for looking at what a model was given."""
        joined = self._tokenizer.decode(ids, skip_special_tokens=False).replace(" ", "")
        for token, text in (("[SPACE]", " "), ("[STOP]", ""), ("[UNK]", "")):
            joined = joined.replace(token, text)
        return joined


class MultilingualTokenizer:
    """Graphemes of 23 languages behind a tag that names the language."""

    def __init__(self, path: Path, cangjie_path: Path | None = None) -> None:
        """Without `cangjie_path` Chinese characters pass through, and few of them are known."""
        self._tokenizer = _open(path)
        self._cangjie = None if cangjie_path is None else Cangjie(cangjie_path)

    def encode(self, text: str, language: str) -> list[int]:
        return _ids(self._tokenizer, self.spell(text, language))

    def spell(self, text: str, language: str | None) -> str:
        """What is looked up in the vocabulary. Without a language there is no tag."""
        code = None if language is None else primary_code(language)
        if code is not None and code not in MULTILINGUAL:
            raise InvalidRequest(
                f"this model does not speak {language!r}; it speaks {', '.join(MULTILINGUAL)}",
                field="language",
                reason="UNSUPPORTED_LANGUAGE",
            )
        prepared = prepare(normalize(text, "wide"), code, self._cangjie)
        tagged = prepared if code is None else f"[{code}]{prepared}"
        return tagged.replace(" ", "[SPACE]")


class TurboTokenizer:
    """GPT-2's byte-level pairs, with tags such as [laugh] as tokens of their own."""

    def __init__(self, vocabulary_path: Path, merges_path: Path, tags_path: Path) -> None:
        try:
            pairs = models.BPE.from_file(str(vocabulary_path), str(merges_path))
            tags: dict[str, int] = json.loads(tags_path.read_text("utf-8"))
        except Exception as error:  # the bindings raise a bare Exception
            raise CheckpointError(f"{vocabulary_path.parent} has no tokenizer: {error}") from error
        self._tokenizer = Tokenizer(pairs)
        self._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._tokenizer.decoder = decoders.ByteLevel()
        for tag in sorted(tags, key=tags.__getitem__):
            self._tokenizer.add_tokens([AddedToken(tag, normalized=False)])
        wrong = [tag for tag, number in tags.items() if self._tokenizer.token_to_id(tag) != number]
        if wrong:
            raise CheckpointError(f"{tags_path} numbers {wrong[0]} as no tokenizer can")

    def encode(self, text: str, language: str = "en") -> list[int]:
        return _ids(self._tokenizer, normalize(text, "light"))


class TinyTokenizer:
    """Phonemes, one id each; a stressed vowel counts as one."""

    def __init__(self, path: Path) -> None:
        """`path` is a JSON list of symbols in the order of their ids."""
        try:
            symbols = json.loads(path.read_text("utf-8"))
            self._ids = {str(symbol): number for number, symbol in enumerate(symbols)}
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{path} is not a table of symbols: {error}") from error

    def encode(self, text: str, language: str = "en") -> list[int]:
        phonemes = phonemes_of(normalize_for_reading(text))
        return [self._ids[symbol] for symbol in symbols_of(phonemes) if symbol in self._ids]

    def words(self, text: str, language: str = "en") -> list[WordSpan]:
        """Where each word is among the ids of `encode`; empty where that cannot be said."""
        read = normalize_for_reading(text)
        symbols = [s for s in symbols_of(phonemes_of(read)) if s in self._ids]
        pieces: list[tuple[int, int]] = []
        first: int | None = None
        for place, symbol in enumerate([*symbols, " "]):
            if symbol == " " and first is not None:
                pieces.append((first, _sounding_stop(symbols, first, place)))
                first = None
            elif first is None and is_sound(symbol):
                first = place
        return spans_of(read, pieces, _spoken_words)


def _sounding_stop(symbols: list[str], first: int, stop: int) -> int:
    """The end of a word without the marks behind it."""
    while stop > first + 1 and not is_sound(symbols[stop - 1]):
        stop -= 1
    return stop


def _spoken_words(written: str) -> int:
    """How many words of phonemes one written word makes."""
    try:
        phonemes = phonemes_of(written)
    except InvalidRequest:
        return 0
    return sum(any(map(is_sound, word)) for word in phonemes.split())


def _open(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the bindings raise a bare Exception
        raise CheckpointError(f"{path} is not a tokenizer: {error}") from error


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
