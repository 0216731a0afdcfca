"""The vocoder sounds as the reference's."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chatterbox.models.checkpoint import load_strict, without_storage
from chatterbox.models.s3gen.config import VocoderConfig
from chatterbox.models.s3gen.model import onset_fade
from chatterbox.models.s3gen.vocoder import Vocoder

FAMILY = "hift"
CHAIN_TOLERANCE = 1e-2  # errors of the pitch add up in the phase of the source


@pytest.fixture(scope="module")
def vocoder(golden: Any) -> Iterator[Vocoder]:
    vocoder = without_storage(lambda: Vocoder(VocoderConfig())).eval()
    load_strict(vocoder, golden.state("s3gen", "mel2wav."))
    with torch.inference_mode():
        yield vocoder


@pytest.fixture(scope="module")
def recorded(golden: Any) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = golden.family(FAMILY)
    return tensors


def draw(golden: Any, tag: str, samples: int) -> tuple[Tensor, Tensor]:
    """Phases and noise as the fixtures were made with."""
    phases = golden.noise("hift.phase", (1, 9, 1)).clamp(-3.14159, 3.14159)
    phases[:, 0] = 0.0
    return phases, golden.noise(tag, (1, 9, samples))


def test_the_pitch_is_the_reference_s(
    vocoder: Vocoder, recorded: dict[str, Tensor], golden: Any
) -> None:
    golden.check(FAMILY, "f0", vocoder.pitch(recorded["mel"]))


def test_the_source_of_a_pitch_is_the_reference_s(
    vocoder: Vocoder, recorded: dict[str, Tensor], golden: Any
) -> None:
    noise = draw(golden, "hift.sine_noise", recorded["source"].shape[-1])
    probe_noise = draw(golden, "hift.probe_noise", recorded["source_probe"].shape[-1])
    voiced = (recorded["f0_probe"] > vocoder.config.voiced_above_hz).float()

    golden.check(FAMILY, "source", vocoder.source(recorded["f0"], *noise))
    golden.check(FAMILY, "source_probe", vocoder.source(recorded["f0_probe"], *probe_noise))
    golden.check(FAMILY, "uv_probe_every480", voiced)


def test_the_waveform_of_a_source_is_the_reference_s(
    vocoder: Vocoder, recorded: dict[str, Tensor], golden: Any
) -> None:
    source = recorded["source"]

    golden.check(FAMILY, "wav", vocoder.decode(recorded["mel"], source))
    silent = vocoder.decode(recorded["mel"], torch.zeros_like(source))
    golden.check(FAMILY, "wav_zero_source", silent)


def test_the_whole_chain_is_near_the_reference_s(
    vocoder: Vocoder, recorded: dict[str, Tensor], golden: Any
) -> None:
    noise = draw(golden, "hift.sine_noise", recorded["source"].shape[-1])
    source = vocoder.source(vocoder.pitch(recorded["mel"]), *noise)
    wav = vocoder.decode(recorded["mel"], source)

    torch.testing.assert_close(wav, recorded["wav"], atol=CHAIN_TOLERANCE, rtol=0.0)


def test_the_onset_is_faded_in_as_in_the_reference(golden: Any) -> None:
    golden.check(FAMILY, "trim_fade", onset_fade(24000))


def test_folded_weights_sound_the_same(
    vocoder: Vocoder, recorded: dict[str, Tensor], golden: Any
) -> None:
    folded = without_storage(lambda: Vocoder(VocoderConfig())).eval()
    load_strict(folded, golden.state("s3gen", "mel2wav."))
    folded.fold_weight_norm()

    golden.check(FAMILY, "wav", folded.decode(recorded["mel"], recorded["source"]))


def test_a_source_in_two_stretches_is_the_source_in_one(
    vocoder: Vocoder, recorded: dict[str, Tensor]
) -> None:
    f0 = recorded["f0_probe"]
    phases, noise = vocoder.draw(f0.shape[1], generator=torch.Generator().manual_seed(3))
    whole = vocoder.source(f0, phases, noise)
    cut, samples = 11, 11 * vocoder.config.samples_per_frame
    first = vocoder.source(f0[:, :cut], phases, noise[..., :samples])
    carried = vocoder.advance(f0[:, :cut], phases)
    second = vocoder.source(f0[:, cut:], carried, noise[..., samples:])

    assert float(phases.abs().max()) <= math.pi
    torch.testing.assert_close(torch.cat([first, second], dim=-1), whole, atol=1e-5, rtol=0.0)
