"""T3 of every official family computes what the reference computes."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from chatterbox.engine.sampler import History, SamplingTable, guide, process
from chatterbox.models.checkpoint import T3_DROPPED, T3_NAMES, load_strict, without_storage
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.kernels.attention import KernelStepping, has_kernel
from chatterbox.models.layers.transformer import Memory
from chatterbox.models.t3.cache import KVCache, Reading, Stepping, plan_runs
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.models.t3.precision import convert_t3
from chatterbox.speech import Sampling

pytestmark = pytest.mark.slow

CONFIGS = {
    "t3_english": T3Config.english,
    "t3_multilingual": T3Config.multilingual,
    "t3_turbo": T3Config.turbo,
    "t3_nano": T3Config.nano,
}
NEAR_TIE = 1e-3  # a smaller gap between the best two may fall either way
LLAMA = Sampling(
    temperature=0.8, cfg_weight=0.5, top_p=1.0, min_p=0.05, top_k=0, repetition_penalty=1.2
)
GPT2 = Sampling(
    temperature=0.8, cfg_weight=0.0, top_p=0.95, min_p=0.0, top_k=1000, repetition_penalty=1.2
)


class Subject(NamedTuple):
    """A family built at full size with the seeded weights, and what the reference made of it."""

    name: str
    t3: T3
    tensors: dict[str, Tensor]

    @property
    def guided(self) -> bool:
        return self.t3.config.guidance

    @property
    def voice(self) -> T3Conditioning:
        return T3Conditioning(
            speaker_embedding=self.tensors["cond.speaker_emb"],
            prompt_tokens=self.tensors["cond.cond_prompt_speech_tokens"],
            exaggeration=float(self.tensors["cond.emotion_adv"]),
        )

    @property
    def text(self) -> Tensor:
        """Raw ids; the fixture of a Llama family has them already framed."""
        tokens = self.tensors["text_tokens"]
        return tokens[:, 1:-1] if self.t3.config.start_text is not None else tokens

    def prefix(self) -> Tensor:
        return self.t3.prefix(self.text, self.voice, guided=self.guided)


@pytest.fixture(scope="module", params=CONFIGS)
def subject(request: pytest.FixtureRequest, golden: Any) -> Iterator[Subject]:
    config = CONFIGS[request.param]()
    t3 = without_storage(lambda: T3(config)).eval()
    load_strict(t3, golden.state(request.param), names=T3_NAMES, dropped=T3_DROPPED)
    with torch.inference_mode():
        yield Subject(request.param, t3, golden.family(request.param))


def check_logits(golden: Any, subject: Subject, name: str, logits: Tensor) -> None:
    """Compare with the 64 best scores and the checksum of a longer row."""
    index = subject.tensors[f"{name}.top64_index"].long()
    golden.check(subject.name, f"{name}.top64_values", logits.gather(-1, index))
    checksum = torch.stack(
        [logits.mean(-1), logits.std(-1), torch.linalg.vector_norm(logits, dim=-1)], dim=-1
    )
    golden.check(subject.name, f"{name}.checksum", checksum)


def test_the_voice_is_embedded_as_in_the_reference(subject: Subject, golden: Any) -> None:
    embeds = subject.t3.embed_conditioning(subject.voice)
    kept = subject.tensors["cond_emb"].shape[1]  # the long ones are stored in part

    golden.check(subject.name, "cond_emb", embeds[:, :kept])
    golden.check(subject.name, "len_cond", torch.tensor(embeds.shape[1]))


def test_the_prefix_is_embedded_as_in_the_reference(subject: Subject, golden: Any) -> None:
    prefix = subject.prefix()
    if subject.guided:
        after_voice = int(subject.tensors["len_cond"])
        golden.check(subject.name, "inputs_embeds.cond", prefix[:1])
        golden.check(subject.name, "inputs_embeds.uncond_text", prefix[1:, after_voice:])
    else:
        tail = subject.tensors["inputs_embeds.tail"].shape[1]
        golden.check(subject.name, "inputs_embeds.tail", prefix[:, -tail:])
        golden.check(subject.name, "prefill_len", torch.tensor(prefix.shape[1]))


def test_one_pass_over_the_prefix_scores_as_the_reference(subject: Subject, golden: Any) -> None:
    hidden = subject.t3.hidden(subject.prefix())
    logits = subject.t3.speech_head(hidden)

    golden.check(subject.name, "prefill.hidden_last", hidden[:, -1])
    golden.check(subject.name, "prefill.last_logits", logits[:, -1])
    check_logits(golden, subject, "prefill.pos_m2", logits[:, -2])
    if "prefill.pos_m9.checksum" in subject.tensors:
        check_logits(golden, subject, "prefill.pos_m9", logits[:, -9])


def test_given_tokens_are_decoded_as_in_the_reference(subject: Subject, golden: Any) -> None:
    decoder = Decoder(subject, subject.prefix())
    golden.check(subject.name, "prefill.last_logits", decoder.logits)
    steps = [decoder.step(int(token)) for token in subject.tensors["forced_tokens"]]

    check_logits(golden, subject, "decode", torch.stack(steps))
    golden.check(subject.name, "decode.full_step0", steps[0])
    golden.check(subject.name, "decode.full_step11", steps[11])


def test_the_form_for_inference_decodes_as_the_reference(subject: Subject, golden: Any) -> None:
    t3 = deepcopy(subject.t3)
    convert_t3(t3, "fp32")
    fast = subject._replace(t3=t3)
    decoder = Decoder(fast, fast.prefix(), fast=True)
    golden.check(subject.name, "prefill.last_logits", decoder.logits)
    steps = [decoder.step(int(token)) for token in subject.tensors["forced_tokens"]]

    check_logits(golden, subject, "decode", torch.stack(steps))
    golden.check(subject.name, "decode.full_step11", steps[11])


@pytest.mark.parametrize("kind", ["greedy", "argmax"])
def test_the_likeliest_tokens_are_the_reference_s(subject: Subject, kind: str) -> None:
    settings = LLAMA if subject.guided else GPT2
    expected = subject.tensors[f"{kind}.tokens"][0]
    tokens, _ = speak(subject, settings, count=len(expected), greedy=kind == "greedy")

    check_tokens(tokens, expected, subject.tensors[f"{kind}.gap"])


@pytest.mark.parametrize("subject", ["t3_english", "t3_multilingual"], indirect=True)
def test_without_guidance_the_other_row_has_no_say(subject: Subject) -> None:
    expected = subject.tensors["greedy_cfg0.tokens"][0]
    calm = subject._replace(
        tensors=subject.tensors | {"cond.emotion_adv": torch.tensor([[[0.25]]])}
    )
    tokens, gaps = speak(calm, replace(LLAMA, cfg_weight=0.0), count=len(expected))

    check_tokens(tokens, expected, torch.tensor(gaps))


def test_tokens_drawn_with_torch_start_as_the_reference_s(subject: Subject) -> None:
    """Informational beyond the first tokens: one last-bit difference moves every later draw."""
    expected = subject.tensors["sampled_seed1234.tokens"][0, :3].tolist()
    torch.manual_seed(1234)
    settings = LLAMA if subject.guided else GPT2
    tokens, _ = speak(subject, settings, count=len(expected), multinomial=True)

    assert tokens == expected


class Decoder:
    """Feeds one token after another, with the cache; `logits` are those of the latest position."""

    def __init__(self, subject: Subject, prefix: Tensor, *, fast: bool = False) -> None:
        """`fast`: with our own kernel, where this machine has it."""
        self.t3 = subject.t3
        self.rows, self.length = prefix.shape[:2]
        self.spoken = 0
        self.cache = KVCache(self.t3.config, rows=self.rows, max_length=self.length + 32)
        self.addresses = self.cache.addresses(range(self.rows))
        self.fast = fast and has_kernel(self.cache)
        positions = torch.arange(self.length).expand(self.rows, -1)
        memory = Reading(self.cache, slice(0, self.rows), slice(0, self.length))
        self.logits = self.t3(prefix, positions, memory)

    def step(self, token: int) -> Tensor:
        self.spoken += 1
        tokens = torch.full((self.rows,), token)
        embeds = self.t3.embed_speech(tokens, torch.full((self.rows,), self.spoken))
        positions = torch.full((self.rows, 1), self.length)
        self.length += 1
        runs = plan_runs(range(self.rows), [self.length] * self.rows)
        memory: Memory = Stepping(self.cache, runs, self.addresses, positions)
        if self.fast:
            memory = KernelStepping(self.cache, runs)
        self.logits = self.t3(embeds, positions, memory)
        return self.logits


def speak(
    subject: Subject,
    settings: Sampling,
    *,
    count: int,
    greedy: bool = False,
    multinomial: bool = False,
) -> tuple[list[int], list[float]]:
    """The reference's loop with our parts: tokens, and how far ahead the likeliest was.

    `greedy` is as at a vanishing temperature; else the likeliest of what the settings leave.
    """
    config = subject.t3.config
    if greedy:
        settings = replace(settings, temperature=0.0)
    table = SamplingTable.of(
        [settings], vocabulary=config.speech_vocabulary, penalty_last=not config.guidance
    )
    history = History(
        slots=1,
        vocabulary=config.speech_vocabulary,
        start=config.start_speech,
        keeps_start=config.guidance,
    )
    history.begin(0)
    guided = subject.guided and settings.cfg_weight != 0.0
    decoder = Decoder(subject, subject.t3.prefix(subject.text, subject.voice, guided=guided))
    tokens: list[int] = []
    gaps: list[float] = []
    while len(tokens) < count:
        logits = decoder.logits
        scores = guide(logits[:1], logits[1:], table) if guided else logits
        probabilities = process(scores, history.seen, table)
        token = probabilities.multinomial(1)[:, 0] if multinomial else probabilities.argmax(-1)
        first, second = probabilities.log()[0].topk(2).values.tolist()
        gaps.append(first - second)
        history.add(torch.tensor([0]), token)
        tokens.append(int(token))
        decoder.step(tokens[-1])
    return tokens, gaps


def check_tokens(tokens: list[int], expected: Tensor, gaps: Tensor) -> None:
    """Equal up to the first near tie, after which the two may go separate ways."""
    for place, (token, wanted, gap) in enumerate(
        zip(tokens, expected.tolist(), gaps.tolist(), strict=True)
    ):
        if gap < NEAR_TIE:
            return
        assert token == wanted, f"token {place} differs"
