"""Texts of an exact length, and ids that every family's networks know."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatterbox.benchmark.texts import LetterTokenizer, sentences, text_of
from chatterbox.models.families import FAMILIES, Family


@given(letters=st.integers(1, 2000), seed=st.integers(0, 99))
def test_a_text_has_exactly_so_many_letters(letters: int, seed: int) -> None:
    text = text_of(letters, random.Random(seed))
    assert sum(character.isalpha() for character in text) == letters


def test_sentences_differ_with_the_seed_alone() -> None:
    once, again = (sentences(3, random.Random(1)) for _ in range(2))
    assert once == again != sentences(3, random.Random(2))
    assert once.count(".") == 3


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_ids_are_text_and_never_its_frame(family: Family) -> None:
    tokenizer = LetterTokenizer(family.t3, characters_per_id=5)
    text = text_of(3000, random.Random(0))
    ids = tokenizer.encode(text, "en")
    assert len(ids) == -(-len(text) // 5)
    assert all(0 <= number < family.t3.text_vocabulary for number in ids)
    assert not {family.t3.start_text, family.t3.stop_text} & set(ids)
    assert len(set(ids)) > 50  # not one id over and over
