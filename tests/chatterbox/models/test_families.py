"""Families agree with the networks they name, and settle what a request leaves open."""

from dataclasses import fields

import pytest

from chatterbox.models.families import FAMILIES, TINY, Family
from chatterbox.speech import Sampling

EVERY = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@EVERY
def test_parameters_are_those_the_network_and_the_sampler_know(family: Family) -> None:
    names = {parameter.name for parameter in fields(Sampling)}

    assert family.parameters <= names
    assert ("cfg_weight" in family.parameters) == family.t3.guidance
    if family is not TINY:  # whose emotion input was trained to do nothing
        assert ("exaggeration" in family.parameters) == family.t3.emotion


@EVERY
def test_t3_and_s3gen_speak_the_same_codes(family: Family) -> None:
    assert family.t3.speech_codes == family.s3gen.flow.codes == family.s3gen.tokenizer.codes


@EVERY
def test_settled_settings_leave_nothing_open_but_the_seed(family: Family) -> None:
    settled = family.settle(Sampling())

    assert settled.seed is None
    assert all(
        getattr(settled, parameter.name) is not None
        for parameter in fields(Sampling)
        if parameter.name != "seed"
    )


def test_what_a_family_does_not_know_is_left_at_its_neutral_value() -> None:
    asked = Sampling(seed=5, cfg_weight=0.9, exaggeration=1.5, min_p=0.3, temperature=0.0)
    settled = FAMILIES["turbo"].settle(asked)

    assert (settled.seed, settled.temperature) == (5, 0.0)
    assert (settled.cfg_weight, settled.min_p) == (0.0, 0.0)
