"""What the host does for a GPU, looked at without one: it launches, and waits for nothing.

The runners run on tensors that claim to be on a GPU and hold nothing (`FakeTensorMode`): whoever
asks what is in one gets an error, and so does a copy that would make the host wait.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chatterbox.engine import s3gen_runner, t3_runner
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.recording import Repetition
from chatterbox.engine.s3gen_runner import S3GenRunner
from chatterbox.engine.sequence import Chunk, Finish, Utterance
from chatterbox.engine.sequence import Sequence as Spoken
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.engine.warm_up import nobody
from chatterbox.models.bundle import Models, Networks, assemble, random_networks
from chatterbox.models.families import ENGLISH, NANO, TINY, Family
from chatterbox.speech import Sampling

CONFIG = EngineConfig(slots=2, max_speech_tokens=60, max_text_tokens=64, steps_per_sync=2)
FAMILIES = [  # few layers and steps: one is like the other
    replace(NANO, t3=replace(NANO.t3, layers=2)),
    replace(
        ENGLISH,
        t3=replace(ENGLISH.t3, layers=2),
        s3gen=replace(ENGLISH.s3gen, flow=replace(ENGLISH.s3gen.flow, steps=2)),
    ),
    TINY,
]


class Letters:
    """A tokenizer without files."""

    def encode(self, text: str, language: str) -> list[int]:
        return [ord(character) % 100 + 3 for character in text]


class Waits(TorchDispatchMode):
    """Raises where a copy between host and GPU would be waited for."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        places = {
            t.device.type for t in tree_leaves((args, out)) if isinstance(t, Tensor) and t.dim()
        }
        if len(places) > 1:
            is_waited_for = not (kwargs.get("non_blocking", False) or args[2:] == (True,))
            assert not is_waited_for, f"{func} from and to {places}"
        return out


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Tensors made inside are nowhere; what is copied to pinned memory is not known any more."""
    with (
        FakeTensorMode(),
        mock.patch.object(Tensor, "pin_memory", lambda t: torch.empty(t.shape, dtype=t.dtype)),
        mock.patch.object(nn.Module, "to", lambda module, *_, **__: module),
        mock.patch.object(s3gen_runner, "CudaRecorder", Repetition),
        mock.patch.object(t3_runner, "CudaRecorder", Repetition),
        mock.patch.object(s3gen_runner, "_digest", return_value=b"somebody"),
        mock.patch.object(t3_runner, "voice_key", return_value=b"somebody"),
    ):
        yield


def made_up(networks: Networks, family: Family) -> Models:
    """The networks on the pretended GPU."""
    for module in (*networks.t3.modules(), *networks.s3gen.modules()):
        for name, parameter in module._parameters.items():
            if parameter is not None:
                there = torch.empty(parameter.shape, device="cuda")
                module._parameters[name] = nn.Parameter(there, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                there = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
                module._buffers[name] = there
    return assemble(family, networks, Letters(), device="cuda")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.id)
def test_tokens_are_drawn_without_waiting(family: Family) -> None:
    networks = random_networks(family)
    with pretended_gpu():
        models = made_up(networks, family)
        runner = T3Runner(models, CONFIG)
        voice, text = nobody(models).t3, Letters().encode("Hello.", "en")
        speakers = []
        with Waits():
            for slot in range(2):
                sampling = family.settle(Sampling(seed=slot, top_p=0.9))
                speaker = runner.speaker(slot, sampling, least_tokens=5, timed=True)
                runner.read(speaker, 0, runner.begin(speaker, text, voice))
                first = runner.launch_first(speaker)
                speakers.append(speaker)
            tokens = runner.launch(speakers, 2)
        with pytest.raises(DataDependentOutputException):  # there it is where one would wait
            first()
        with pytest.raises(DataDependentOutputException):
            tokens()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.id)
def test_audio_is_rendered_without_waiting(family: Family) -> None:
    networks = random_networks(family)
    with pretended_gpu():
        models = made_up(networks, family)
        runner = S3GenRunner(models)
        voice = nobody(models)
        utterance = Utterance(
            text="Hello.",
            family=family.id,
            voice="nobody",
            language="en",
            sampling=Sampling(seed=0),
            conditioning=lambda: voice,
        )
        sequences = [Spoken(utterance=utterance, max_tokens=60) for _ in range(2)]
        with Waits():
            for sequence, count in zip(sequences, (30, 26), strict=True):
                sequence.tokens = list(range(count))
                sequence.finish = Finish.STOPPED
                runner.begin(sequence, voice.s3gen)
            first = runner.launch([Chunk(each, 0, 10, is_last=False) for each in sequences])
            last = [Chunk(each, 10, len(each.tokens), is_last=True) for each in sequences]
            runner.launch(last)
        with pytest.raises(RuntimeError, match="numpy"):
            first()


def test_a_copy_that_is_waited_for_is_seen() -> None:
    with pretended_gpu(), Waits(), pytest.raises(AssertionError, match="from and to"):
        torch.empty(3).to("cuda")
