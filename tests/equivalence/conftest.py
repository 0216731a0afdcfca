"""The golden fixtures and the seeded weights they were made with.

Every floating tensor of a model is a function of (seed, namespace, official key, shape). A
PCG64 generator seeded with crc32("seed|namespace|key") gives raw 64-bit words; each is two
32-bit words, low half first. The top 24 bits of a word, centred, are a uniform number; scaled to
unit variance it is the stream `x`, and the kind of tensor decides what becomes of it.
"""

import json
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.model_device import FamilySource, ModelDevice
from chatterbox.engine.sequence import Bookmark, Outcome, Utterance
from chatterbox.models.bundle import load_models
from chatterbox.models.families import TINY
from chatterbox.models.s3gen.stream import StreamSettings
from chatterbox.speech import Sampling, Word
from chatterbox.voices.library import VoiceLibrary, bundled_voices

HOME = Path(__file__).parents[1] / "golden"
GAINS = {
    "f0_predictor.classifier.weight": 60.0,  # pitch must straddle the voicing threshold
    "mel2wav.conv_post.": 0.35,  # the magnitude is an exponential and must stay small
    "quantizer._codebook.project_down.weight": 0.7,
    "speech_head.weight": 3.0,  # peaked logits
    "flow.encoder_proj.weight": 1.5,
}
CONSTANTS = {"similarity_weight": 10.0, "similarity_bias": -5.0}
COMPUTED = ("_mel_filters", "tokenizer.window")  # not in every file, and never drawn


def unit_stream(count: int, seed: int, namespace: str, key: str) -> NDArray[np.float32]:
    """`count` uniform float32 numbers of zero mean and unit variance."""
    generator = np.random.PCG64(zlib.crc32(f"{seed}|{namespace}|{key}".encode()))
    raw = np.asarray(generator.random_raw((count + 1) // 2), dtype="<u8")
    numbers = (raw.view("<u4")[:count] >> np.uint32(8)).astype(np.float32)
    numbers *= np.float32(2.0**-24)
    numbers -= np.float32(0.5 - 2.0**-25)
    numbers *= np.float32(math.sqrt(12.0))
    return numbers


def seeded_tensor(key: str, shape: tuple[int, ...], seed: int, namespace: str) -> Tensor:
    """The value of one floating tensor; `key` is its name in the official file."""
    numbers = unit_stream(math.prod(shape), seed, namespace, key)
    gain = math.prod(value for part, value in GAINS.items() if part in key)
    if key.endswith(".running_mean"):
        scale, offset = 0.1, 0.0
    elif key.endswith((".running_var", ".alpha")):
        scale, offset = 0.25, 1.0
    elif key.endswith(".parametrizations.weight.original0"):
        scale, offset = 0.1, 1.0
    elif key.endswith("pre_attention_query"):
        scale, offset = 1.0, 0.0
    elif len(shape) <= 1:
        scale, offset = 0.1, 1.0 if key.endswith(".weight") else 0.0
    else:
        scale, offset = gain / math.sqrt(math.prod(shape[1:])), 0.0
    numbers *= np.float32(scale)
    if offset:
        numbers += np.float32(offset)
    if key.endswith(".parametrizations.weight.original0"):
        numbers *= np.float32(gain)
    return torch.from_numpy(numbers.reshape(shape))


class Golden:
    """One set of fixtures: the reference's tensors, and the weights and noise it ran with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def index(self) -> dict[str, Any]:
        index: dict[str, Any] = json.loads((self.folder / "index.json").read_text("utf-8"))
        return index

    @cached_property
    def tokenizers(self) -> dict[str, Any]:
        tables: dict[str, Any] = json.loads((self.folder / "tokenizers.json").read_text("utf-8"))
        return tables

    def family(self, name: str) -> dict[str, Tensor]:
        """Every tensor of one fixture file, by its name in the index."""
        return load_file(self.folder / f"{name}.safetensors")

    def manifest(self, name: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and dtype of every key of an official checkpoint."""
        content = json.loads((HOME / "manifests" / f"{name}.json").read_text("utf-8"))
        return {
            key: (tuple(shape), getattr(torch, dtype))
            for key, (shape, dtype) in content["state_dict"].items()
        }

    def state(self, manifest: str, part: str = "") -> dict[str, Tensor]:
        """What the official file would hold had it been made from the seed.

        The filter bank and the window of the S3 tokenizer are left out: both can be computed.
        With `part`, such as "flow.", only the keys that start so, without that start.
        """
        namespace = manifest.split("_")[0]  # ve, t3 or s3gen
        state = {}
        for key, (shape, dtype) in self.manifest(manifest).items():
            if key.endswith(COMPUTED) or not key.startswith(part):
                continue
            name = key.rsplit(".", 1)[-1]
            if name in CONSTANTS:
                value = torch.full(shape, CONSTANTS[name])
            elif not dtype.is_floating_point:
                value = torch.zeros(shape, dtype=dtype)
            else:
                value = seeded_tensor(key, shape, self.index["weight_seed"], namespace)
            state[key.removeprefix(part)] = value
        return state

    def noise(self, tag: str, shape: tuple[int, ...]) -> Tensor:
        """Gaussian-like float32 noise of unit variance, the sum of four streams over two."""
        total = np.zeros(math.prod(shape), np.float32)
        for part in range(4):
            total += unit_stream(total.size, self.index["input_seed"], f"noise{part}", tag)
        return torch.from_numpy((total * np.float32(0.5)).reshape(shape))

    def check(self, family: str, name: str, actual: Tensor) -> None:
        """Fail unless `actual` is the reference's tensor `name` within its tolerance.

        Integers are equal; floats agree to 1e-4, or to 1e-4 of the standard deviation where
        that is above one.
        """
        expected = self.family(family)[name]
        if not expected.is_floating_point():
            assert torch.equal(actual.to(expected.dtype), expected), f"{family}: {name} differs"
            return
        spread = self.index["families"][family]["tensors"][name].get("std", 1.0)
        torch.testing.assert_close(
            actual.float(),
            expected,
            atol=1e-4 * max(1.0, spread),
            rtol=0.0,
            msg=lambda message: f"{family}: {name}: {message}",
        )

    def check_log(self, family: str, name: str, actual: Tensor) -> None:
        """As `check`, for the logarithm of a spectrum (..., bins).

        A Fourier transform in float32 rounds in proportion to the loudest bin, and which way
        depends on the processor; the logarithm magnifies it in bins that hold next to nothing.
        So bins may differ where the spectra do by less than 1e-7 of the frame's loudest.
        """
        expected = self.family(family)[name]
        peak = expected.amax(-1, keepdim=True)
        apart = ((actual.float() - peak).exp() - (expected - peak).exp()).abs()
        self.check(family, name, torch.where(apart < 1e-7, expected, actual.float()))

    def check_codes(self, family: str, name: str, actual: Tensor, prequant: Tensor) -> None:
        """Fail unless the speech tokens are the reference's, up to ties in the rounding.

        `prequant` (..., digits) are the values `actual` was rounded from; a token may differ
        only where one of its digits lies within 1e-4 of the boundary at a half.
        """
        expected = self.family(family)[name]
        assert actual.shape == expected.shape, f"{family}: {name} has another length"
        tied = ((prequant.abs() - 0.5).abs() < 1e-4).any(-1)
        assert not ((actual != expected) & ~tied).any(), f"{family}: {name} differs"


@pytest.fixture(scope="session")
def golden() -> Golden:
    """The set in CHATTERBOX_GOLDEN, by default the one in the repository."""
    return Golden(Path(os.environ.get("CHATTERBOX_GOLDEN", HOME)))


@pytest.fixture(scope="session")
def seeded_state(golden: Golden) -> Callable[[str], dict[str, Tensor]]:
    """The official state dict of a manifest, such as "t3_english", made from the seed."""
    return golden.state


@pytest.fixture(scope="session")
def noise(golden: Golden) -> Callable[[str, tuple[int, ...]], Tensor]:
    """Fixture noise by its tag and shape."""
    return golden.noise


@pytest.fixture(scope="session")
def tokenizer_files() -> Path:
    """The folder with the tokenizer files of the official checkpoints."""
    return HOME / "tokenizers"


@dataclass
class Heard:
    """What an utterance gave."""

    clips: list[NDArray[np.float32]] = field(default_factory=list)
    bookmarks: list[Bookmark] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate(self.clips) if self.clips else np.zeros(0, np.float32)


class TinyEngine:
    """Speaks with the bundled weights, each time through an engine of its own."""

    def __init__(self) -> None:
        self._models = load_models(TINY)
        self._config = EngineConfig(slots=2)

    def utterance(self, text: str) -> Utterance:
        return Utterance(
            text=text,
            family="tiny",
            voice="ada",
            language="en",
            sampling=Sampling(seed=11),
            conditioning=lambda: VoiceLibrary([bundled_voices()]).conditioning("ada", "tiny"),
            marked=True,
        )

    async def speak(self, asked: Utterance, settings: StreamSettings | None = None) -> Heard:
        heard = Heard()
        source = FamilySource(TINY, lambda: self._models)
        device = ModelDevice([source], self._config, settings or StreamSettings())
        engine = DeviceEngine(device, self._config)
        await engine.start()
        try:
            stream = engine.submit(asked)
            async for clip in stream:
                assert stream.latest is not None
                assert stream.latest.bookmark is not None
                heard.clips.append(clip.samples)
                heard.bookmarks.append(stream.latest.bookmark)
                heard.words.extend(stream.latest.words)
            heard.outcome = stream.outcome
        finally:
            await engine.stop()
        return heard


@pytest.fixture(scope="module")
def tiny_engine() -> TinyEngine:
    return TinyEngine()
