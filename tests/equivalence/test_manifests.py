"""Every key and shape of the official files fits our modules, but for the named exceptions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from chatterbox.errors import CheckpointError
from chatterbox.models.checkpoint import (
    S3GEN_OPTIONAL,
    T3_DROPPED,
    T3_NAMES,
    VOICE_ENCODER_NAMES,
    Names,
    load_strict,
    rename,
    without_storage,
)
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.model import S3Gen
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.models.voice_encoder.model import VoiceEncoder


class Case(NamedTuple):
    """One official file and the module it fills."""

    build: Callable[[], nn.Module]
    names: Names = ()
    dropped: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


CASES = {
    "t3_english": Case(lambda: T3(T3Config.english()), T3_NAMES, T3_DROPPED),
    "t3_multilingual": Case(lambda: T3(T3Config.multilingual()), T3_NAMES, T3_DROPPED),
    "t3_turbo": Case(lambda: T3(T3Config.turbo()), T3_NAMES, T3_DROPPED),
    "t3_nano": Case(lambda: T3(T3Config.nano()), T3_NAMES, T3_DROPPED),
    "ve": Case(VoiceEncoder, VOICE_ENCODER_NAMES),
    "s3gen": Case(lambda: S3Gen(S3GenConfig.standard()), optional=S3GEN_OPTIONAL),
    "s3gen_meanflow": Case(lambda: S3Gen(S3GenConfig.meanflow()), optional=S3GEN_OPTIONAL),
}


@pytest.mark.parametrize("name", CASES)
def test_keys_shapes_and_types_are_the_official_ones(name: str, golden: Any) -> None:
    case = CASES[name]
    official = {
        rename(key, case.names): entry
        for key, entry in golden.manifest(name).items()
        if key not in case.dropped
    }
    ours = {
        key: (tuple(value.shape), value.dtype)
        for key, value in without_storage(case.build).state_dict().items()
    }

    assert ours == official


@pytest.mark.parametrize("name", CASES)
def test_the_exceptions_are_in_the_file_and_no_others_are_granted(name: str, golden: Any) -> None:
    manifest = golden.manifest(name)
    case = CASES[name]

    assert case.dropped & set(manifest) <= {"tfmr.wte.weight", "text_head.weight"}
    assert case.optional <= {"tokenizer._mel_filters", "tokenizer.window"}
    assert len({rename(key, case.names) for key in manifest}) == len(manifest)


@pytest.mark.parametrize("name", ["t3_nano", "ve"])
def test_a_file_with_one_key_less_or_more_is_refused(name: str, golden: Any) -> None:
    case = CASES[name]
    state = blank_state(golden, name)
    some_key = next(key for key in state if key not in case.dropped)
    less = {key: value for key, value in state.items() if key != some_key}
    more = state | {"stranger.weight": torch.zeros(1)}

    for wrong, said in ((less, "missing: " + rename(some_key, case.names)), (more, "stranger")):
        with pytest.raises(CheckpointError, match=said):
            load_strict(without_storage(case.build), wrong, names=case.names, dropped=case.dropped)


def blank_state(golden: Any, name: str) -> dict[str, Tensor]:
    """The official keys and shapes; the values share one number and so take no memory."""
    return {
        key: torch.zeros((), dtype=dtype).expand(shape)
        for key, (shape, dtype) in golden.manifest(name).items()
    }
