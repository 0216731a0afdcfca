"""The flow turns tokens into the mel that the reference makes of them, by either solver."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from chatterbox.models.checkpoint import load_strict, without_storage
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.flow import Flow, cosine_times

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two busy cores are enough

CONFIGS = {"flow": S3GenConfig.standard, "flow_meanflow": S3GenConfig.meanflow}
MANIFESTS = {"flow": "s3gen", "flow_meanflow": "s3gen_meanflow"}


class Subject(NamedTuple):
    """One kind of flow with the seeded weights, and what the reference made of them."""

    family: str
    flow: Flow
    tensors: dict[str, Tensor]

    @property
    def tokens(self) -> Tensor:
        return torch.cat([self.tensors["prompt_token"], self.tensors["speech_tokens"]], dim=1)

    def mel(self, *, steps: int | None = None, left_out: int = 0) -> Tensor:
        """The speech part; `left_out` frames at the end still wait for more tokens."""
        mu = self.flow.encode(self.tokens)
        frames, prompt = mu.shape[-1] - left_out, self.tensors["prompt_feat"].transpose(1, 2)
        condition = functional.pad(prompt, (0, frames - prompt.shape[-1]))
        mel = self.flow.solve(
            mu[..., :frames],
            self.tensors["embedding"],
            condition,
            self.tensors["z"][..., :frames],
            steps=steps,
        )
        return mel[..., prompt.shape[-1] :]

    def estimate(self, mask: Tensor | None = None) -> Tensor:
        names = ("est_mu", "est_spks", "est_cond")
        context = self.flow.context(*(self.tensors[name] for name in names))
        ends = self.tensors["est_t"], self.tensors.get("est_r")
        estimate: Tensor = self.flow.estimator(self.tensors["est_x"], context, *ends, mask)
        return estimate


@pytest.fixture(scope="module", params=CONFIGS)
def subject(request: pytest.FixtureRequest, golden: Any) -> Iterator[Subject]:
    family = request.param
    flow = without_storage(lambda: Flow(CONFIGS[family]().flow)).eval()
    load_strict(flow, golden.state(MANIFESTS[family], "flow."))
    with torch.inference_mode():
        yield Subject(family, flow, golden.family(family))


only_cfm = pytest.mark.parametrize("subject", ["flow"], indirect=True)
only_meanflow = pytest.mark.parametrize("subject", ["flow_meanflow"], indirect=True)


def test_one_estimate_is_the_reference_s(subject: Subject, golden: Any) -> None:
    golden.check(subject.family, "est_out", subject.estimate())


def test_one_estimate_of_a_padded_batch_is_the_reference_s(subject: Subject, golden: Any) -> None:
    how = golden.index["families"][subject.family]["tensors"]["est_out_masked"]["how"]
    start = re.search(r"mask\[1,:,(\d+):\]", how)
    assert start is not None
    mask = torch.ones(2, 1, subject.tensors["est_x"].shape[-1])
    mask[1, :, int(start[1]) :] = 0.0

    golden.check(subject.family, "est_out_masked", subject.estimate(mask))


def test_the_mel_is_the_reference_s(subject: Subject, golden: Any) -> None:
    golden.check(subject.family, "mel", subject.mel())


@only_meanflow
def test_the_mel_of_one_step_is_the_reference_s(subject: Subject, golden: Any) -> None:
    golden.check(subject.family, "mel_1step", subject.mel(steps=1))


@only_cfm
def test_the_mel_of_four_steps_is_the_reference_s(subject: Subject, golden: Any) -> None:
    golden.check(subject.family, "mel_4steps", subject.mel(steps=4))


@only_cfm
def test_the_mel_of_an_unfinished_sequence_is_the_reference_s(
    subject: Subject, golden: Any
) -> None:
    waiting = 2 * subject.flow.config.encoder.lookahead
    golden.check(subject.family, "mel_not_final", subject.mel(left_out=waiting))


@only_cfm
def test_steps_lie_where_the_reference_takes_them(subject: Subject, golden: Any) -> None:
    golden.check(subject.family, "t_span10", cosine_times(10))


@only_cfm
def test_the_encoder_and_the_speaker_are_the_reference_s(subject: Subject, golden: Any) -> None:
    features = subject.flow.features(subject.tokens)
    speaker = subject.flow.speaker(subject.tensors["embedding"])

    golden.check(subject.family, "encoder_out", features)
    golden.check(subject.family, "mu", subject.flow.encode(subject.tokens).transpose(1, 2))
    golden.check(subject.family, "spk80", speaker)


@only_cfm
def test_the_reference_s_padded_row_is_ours_once_padding_may_leak(
    subject: Subject, golden: Any
) -> None:
    """The reference lets padding into its look-ahead; ours, which does not, is run around it."""
    name = "encoder_out_batch1_valid"
    length = subject.tensors[name].shape[0] // 2
    T, encoder = subject.tokens.shape[1], subject.flow.encoder
    mask = torch.arange(T) < torch.tensor([[T], [length]])
    embedded = subject.flow.input_embedding(subject.tokens.expand(2, -1)) * mask[..., None]
    leaking = encoder.attend(encoder.pre_lookahead_layer(encoder.embed(embedded)), mask)
    alone = subject.flow.features(subject.tokens[:, :length])
    padded = subject.flow.features(subject.tokens.expand(2, -1), torch.tensor([T, length]))

    golden.check(subject.family, name, leaking[1, : 2 * length])
    torch.testing.assert_close(padded[1, : 2 * length], alone[0], atol=1e-4, rtol=0.0)
