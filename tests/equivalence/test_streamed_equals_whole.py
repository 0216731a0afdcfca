"""Speech streamed in chunks is the speech rendered whole, and in company what it is alone.

Exactly so where the networks' reach is bounded: then every seam must vanish, whatever the cuts.
With attention over everything the future changes the past a little; what that costs is
measured on trained weights.
"""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from chatterbox.audio.mel import s3gen_log_mel
from chatterbox.engine.config import EngineConfig
from chatterbox.engine.flow_graphs import FlowGraphs
from chatterbox.engine.recording import CudaRecorder, Repetition
from chatterbox.engine.s3gen_runner import SeededNoise
from chatterbox.engine.t3_runner import T3Runner
from chatterbox.engine.vocoder_graphs import VocoderGraphs
from chatterbox.models.bundle import Models, load_models
from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.families import TINY
from chatterbox.models.s3gen.config import EncoderConfig, EstimatorConfig, S3GenConfig, Solver
from chatterbox.models.s3gen.model import RenderNoise, S3Gen
from chatterbox.models.s3gen.stream import (
    ChunkInput,
    Extend,
    Sound,
    StreamSettings,
    StreamState,
    hear_prompt,
    prompt_noise,
    render_chunks,
    start_stream,
)
from chatterbox.speech import Sampling
from chatterbox.voices.library import VoiceLibrary

TOKENS = 40
# Three tokens for the flow to come out exactly, three more for the vocoder.
BOUNDED = StreamSettings(right_tokens=6)
SOLVERS: tuple[Solver, ...] = ("regression", "meanflow", "cfm")


def build(config: S3GenConfig) -> S3Gen:
    torch.manual_seed(7)
    s3gen = S3Gen(config).eval()
    for parameter in s3gen.flow.parameters():  # some layers begin silent
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    torch.nn.init.constant_(s3gen.mel2wav.f0_predictor.classifier.bias, 150.0)
    torch.nn.init.normal_(s3gen.mel2wav.f0_predictor.classifier.weight, std=20.0)
    torch.nn.init.constant_(s3gen.mel2wav.m_source.l_linear.weight, 0.3)
    s3gen.mel2wav.fold_weight_norm()
    return s3gen


def short_sighted(solver: Solver) -> S3Gen:
    """Networks without attention, and a vocoder that reaches no further than the look-ahead."""
    tiny = S3GenConfig.tiny()
    return build(
        replace(
            tiny,
            flow=replace(
                tiny.flow,
                encoder=EncoderConfig(width=32, heads=2, feed_forward=32, layers=0, up_layers=0),
                estimator=EstimatorConfig(channels=16, mid_blocks=1, transformers=0, heads=1),
                solver=solver,
                steps={"regression": 1, "meanflow": 2, "cfm": 3}[solver],
            ),
            vocoder=replace(
                tiny.vocoder,
                channels=32,
                resblock_kernels=(3,),
                source_kernels=(3, 3),
                dilations=(1,),
                pitch_channels=16,
                pitch_layers=3,
            ),
        )
    )


def voice(s3gen: S3Gen, *, odd: bool = False) -> S3GenConditioning:
    generator = torch.Generator().manual_seed(1)
    flow = s3gen.config.flow
    return S3GenConditioning(
        prompt_tokens=torch.randint(flow.codes, (1, 8), generator=generator),
        prompt_mel=torch.randn(1, 16 + odd, flow.mel_bins, generator=generator),
        x_vector=torch.randn(1, flow.x_vector, generator=generator),
    )


def speech(s3gen: S3Gen, count: int = TOKENS) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(s3gen.config.flow.codes, (1, count), generator=generator)


def noise_for(s3gen: S3Gen) -> SeededNoise:
    return SeededNoise(
        11,
        bins=s3gen.config.flow.mel_bins,
        harmonics=s3gen.config.vocoder.overtones + 1,
        samples_per_frame=s3gen.config.vocoder.samples_per_frame,
    )


def whole(s3gen: S3Gen, tokens: Tensor, conditioning: S3GenConditioning) -> Tensor:
    noise = noise_for(s3gen)
    prompt = 2 * conditioning.prompt_tokens.shape[1]
    frames = s3gen.output_frames(tokens.shape[1], conditioning)
    drawn = RenderNoise(
        flow=torch.cat([prompt_noise(prompt, 80), noise.mel(0, 2 * tokens.shape[1])], dim=-1),
        phases=noise.phases(),
        source=noise.source(0, frames),
    )
    return s3gen.render(tokens, conditioning, drawn)[0]


@dataclass(frozen=True)
class Case:
    """An utterance and where it is cut."""

    tokens: Tensor
    conditioning: S3GenConditioning
    ends: list[int]


def streamed(
    s3gen: S3Gen,
    tokens: Tensor,
    conditioning: S3GenConditioning,
    ends: list[int],
    settings: StreamSettings = BOUNDED,
) -> Tensor:
    return together(s3gen, [Case(tokens, conditioning, ends)], settings)[0]


def together(
    s3gen: S3Gen,
    cases: list[Case],
    settings: StreamSettings,
    extend: Extend | None = None,
    sound: Sound | None = None,
) -> list[Tensor]:
    """Every case's next chunk in one batch, until none has any left."""
    prompts = [hear_prompt(s3gen, case.conditioning, settings) for case in cases]
    noise = noise_for(s3gen)
    states: list[StreamState] = [start_stream(s3gen, p, noise, settings) for p in prompts]
    pieces: list[list[Tensor]] = [[] for _ in cases]
    for step in range(max(len(case.ends) for case in cases)):
        rows = [row for row, case in enumerate(cases) if step < len(case.ends)]
        chunks = []
        for row in rows:
            case, start = cases[row], states[row].tokens
            end = case.ends[step]
            given = case.tokens[0, start : end + settings.right_tokens]
            chunks.append(ChunkInput(
                prompt=prompts[row], noise=noise, state=states[row], tokens=given, kept=end - start
            ))  # fmt: skip
        rendered = render_chunks(s3gen, chunks, settings, extend, sound)
        for row, (samples, after) in zip(rows, rendered, strict=True):
            pieces[row].append(samples)
            states[row] = after
    return [torch.cat(row) for row in pieces]


@pytest.fixture(scope="module", params=SOLVERS)
def s3gen(request: pytest.FixtureRequest) -> S3Gen:
    return short_sighted(request.param)


@pytest.mark.parametrize("odd", [False, True], ids=["even prompt", "odd prompt"])
def test_one_chunk_is_the_whole(s3gen: S3Gen, *, odd: bool) -> None:
    tokens, conditioning = speech(s3gen), voice(s3gen, odd=odd)
    torch.testing.assert_close(
        streamed(s3gen, tokens, conditioning, [TOKENS]), whole(s3gen, tokens, conditioning)
    )


@given(cuts=st.sets(st.integers(1, TOKENS - 1), max_size=12), odd=st.booleans())
@settings(max_examples=12, deadline=None)
def test_whatever_the_cuts_the_seams_vanish(s3gen: S3Gen, cuts: set[int], *, odd: bool) -> None:
    tokens, conditioning = speech(s3gen), voice(s3gen, odd=odd)
    pieces = streamed(s3gen, tokens, conditioning, [*sorted(cuts), TOKENS])
    expected = whole(s3gen, tokens, conditioning)
    assert expected.abs().max() > 1e-3
    error = (pieces - expected).abs().max() / expected.abs().max()
    assert error < 1e-3


def test_what_is_remembered_does_not_grow(s3gen: S3Gen) -> None:
    tokens, conditioning = speech(s3gen, 400), voice(s3gen)
    prompt, noise = hear_prompt(s3gen, conditioning, BOUNDED), noise_for(s3gen)
    state = start_stream(s3gen, prompt, noise, BOUNDED)
    sizes = []
    for end in range(20, 400, 20):
        given = tokens[0, state.tokens : end + BOUNDED.right_tokens]
        chunk = ChunkInput(
            prompt=prompt, noise=noise, state=state, tokens=given, kept=end - state.tokens
        )
        ((_, state),) = render_chunks(s3gen, [chunk], BOUNDED)
        sizes.append((state.flow.size_bytes, state.mel.shape, state.f0.shape))
    assert len(set(sizes)) == 1


@pytest.fixture(scope="module", params=SOLVERS)
def attentive(request: pytest.FixtureRequest) -> S3Gen:
    """Networks with attention, untrained."""
    tiny = S3GenConfig.tiny()
    steps = {"regression": 1, "meanflow": 2, "cfm": 3}[request.param]
    return build(replace(tiny, flow=replace(tiny.flow, solver=request.param, steps=steps)))


def test_with_attention_every_token_is_still_heard_once(attentive: S3Gen) -> None:
    tokens, conditioning = speech(attentive), voice(attentive)
    pieces = streamed(attentive, tokens, conditioning, [9, 24, TOKENS], StreamSettings())
    assert len(pieces) == TOKENS * 960
    assert pieces.isfinite().all()


def test_without_a_prompt_one_chunk_is_the_whole_with_attention_too(attentive: S3Gen) -> None:
    tokens, spoken = speech(attentive), voice(attentive)
    alone = replace(
        spoken, prompt_tokens=spoken.prompt_tokens[:, :0], prompt_mel=spoken.prompt_mel[:, :0]
    )
    torch.testing.assert_close(
        streamed(attentive, tokens, alone, [TOKENS]),
        whole(attentive, tokens, alone),
        atol=2e-4,
        rtol=0,
    )


def test_a_prompt_heard_beforehand_is_heard(attentive: S3Gen) -> None:
    tokens, spoken = speech(attentive), voice(attentive)
    other = replace(spoken, prompt_mel=spoken.prompt_mel + 1.0)
    one = streamed(attentive, tokens, spoken, [TOKENS])
    assert (one - streamed(attentive, tokens, other, [TOKENS])).abs().max() > 1e-3
    shorter = hear_prompt(attentive, spoken, StreamSettings(prompt_tokens=5))
    assert shorter.tokens + shorter.waiting == 5


def mixed_cases(s3gen: S3Gen) -> list[Case]:
    """Three voices, one without a prompt, with chunks of different sizes."""
    cases = []
    for row, (prompt, ends) in enumerate([(8, [9, 24, 40]), (0, [5, 30]), (8, [9, 20, 33])]):
        spoken = voice(s3gen)
        own = replace(
            spoken,
            prompt_tokens=spoken.prompt_tokens[:, :prompt],
            prompt_mel=spoken.prompt_mel[:, : 2 * prompt] + 0.1 * row,
        )
        cases.append(Case(speech(s3gen, ends[-1]), own, ends))
    return cases


def test_recorded_in_a_few_shapes_it_sounds_the_same(attentive: S3Gen) -> None:
    """The buffers and the padding of a recording, replayed by doing the work again."""
    few, cases = StreamSettings(window_tokens=10), mixed_cases(attentive)
    flow = FlowGraphs(attentive.flow, Repetition(), window=10)
    vocoder = VocoderGraphs(attentive.mel2wav, Repetition())
    recorded = together(attentive, cases, few, flow.extend, vocoder.sound)
    assert 0 < flow.form_count < 4
    assert 0 < vocoder.form_count < 4
    for one, other in zip(recorded, together(attentive, cases, few), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


@pytest.mark.gpu
def test_a_cuda_graph_sounds_as_the_same_work_dispatched(attentive: S3Gen) -> None:
    s3gen = copy.deepcopy(attentive).cuda()
    few = StreamSettings(window_tokens=10)
    cases = [
        Case(case.tokens.cuda(), on_gpu(case.conditioning), case.ends)
        for case in mixed_cases(attentive)
    ]
    recorder = CudaRecorder()
    flow = FlowGraphs(s3gen.flow, recorder, window=10)
    vocoder = VocoderGraphs(s3gen.mel2wav, recorder)
    for _ in range(2):  # recorded, then replayed
        recorded = together(s3gen, cases, few, flow.extend, vocoder.sound)
        for one, other in zip(recorded, together(s3gen, cases, few), strict=True):
            torch.testing.assert_close(one, other, atol=5e-3, rtol=0)


def on_gpu(voice: S3GenConditioning) -> S3GenConditioning:
    return S3GenConditioning(
        prompt_tokens=voice.prompt_tokens.cuda(),
        prompt_mel=voice.prompt_mel.cuda(),
        x_vector=voice.x_vector.cuda(),
    )


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_in_company_a_stream_sounds_as_it_does_alone(attentive: S3Gen, data: st.DataObject) -> None:
    """Other voices, with longer or no prompts, at other places and with chunks of other sizes."""
    cases = []
    for row in range(data.draw(st.integers(2, 4), label="rows")):
        count = data.draw(st.integers(4, 30), label="tokens")
        cuts = data.draw(st.sets(st.integers(1, count - 1), max_size=4), label="cuts")
        generator = torch.Generator().manual_seed(row)
        prompt = data.draw(st.sampled_from([0, 3, 8]), label="prompt")
        spoken = voice(attentive, odd=data.draw(st.booleans(), label="odd") and prompt == 8)
        frames = 2 * prompt + spoken.prompt_mel.shape[1] % 2
        own = replace(
            spoken,
            prompt_tokens=spoken.prompt_tokens[:, :prompt],
            prompt_mel=spoken.prompt_mel[:, :frames] + 0.1 * row,
        )
        tokens = torch.randint(attentive.config.flow.codes, (1, count), generator=generator)
        cases.append(Case(tokens, own, [*sorted(cuts), count]))
    few = StreamSettings(window_tokens=10)
    for case, heard in zip(cases, together(attentive, cases, few), strict=True):
        alone = streamed(attentive, case.tokens, case.conditioning, case.ends, few)
        torch.testing.assert_close(heard, alone, atol=2e-3, rtol=0)


def test_the_state_given_is_left_as_it_was(s3gen: S3Gen) -> None:
    prompt, noise = hear_prompt(s3gen, voice(s3gen), BOUNDED), noise_for(s3gen)
    tokens, state = speech(s3gen)[0], start_stream(s3gen, prompt, noise, BOUNDED)

    def step(state: StreamState, end: int) -> tuple[Tensor, StreamState]:
        given = tokens[state.tokens : end + BOUNDED.right_tokens]
        chunk = ChunkInput(
            prompt=prompt, noise=noise, state=state, tokens=given, kept=end - state.tokens
        )
        return render_chunks(s3gen, [chunk], BOUNDED)[0]

    _, state = step(state, 10)
    first, _ = step(state, 20)
    again, _ = step(state, 20)
    torch.testing.assert_close(first, again, rtol=0, atol=0)


@pytest.fixture(scope="module")
def tiny() -> Models:
    return load_models(TINY)


def spoken_by(tiny: Models, voice_id: str, text: str) -> tuple[Tensor, S3GenConditioning]:
    """What T3 says, and in whose voice."""
    conditioning = VoiceLibrary().conditioning(voice_id, "tiny")
    runner = T3Runner(tiny, EngineConfig(slots=1))
    speaker = runner.speaker(0, TINY.settle(Sampling(seed=1)), least_tokens=40)
    tokens = [runner.prefill(speaker, tiny.tokenizer.encode(text, "en"), conditioning.t3)]
    while tokens[-1] is not None and len(tokens) < 150:
        tokens += runner.decode([speaker])[0]
    return torch.tensor([[token for token in tokens if token is not None]]), conditioning.s3gen


def chunk_ends(token_count: int) -> list[int]:
    """Where the engine cuts an utterance of this length."""
    config = EngineConfig()
    whole_chunks = [
        end for end in config.chunk_ends if end + config.look_ahead_tokens <= token_count
    ]
    return [*whole_chunks, token_count] if whole_chunks[-1:] != [token_count] else whole_chunks


def log_mel(samples: Tensor) -> Tensor:
    return s3gen_log_mel(samples[None], 24_000, 80)


@pytest.mark.parametrize("voice_id", ["ada", "ben"])
def test_trained_speech_streamed_sounds_as_rendered_whole(tiny: Models, voice_id: str) -> None:
    """Measured 0.09 mean log-mel distance; the noise of another seed alone makes 0.06."""
    text = "The quick brown fox jumps over the lazy dog, and then it runs away."
    tokens, conditioning = spoken_by(tiny, voice_id, text)
    ends = chunk_ends(tokens.shape[1])
    expected = whole(tiny.s3gen, tokens, conditioning)
    pieces = streamed(tiny.s3gen, tokens, conditioning, ends, StreamSettings())
    assert len(ends) > 2
    assert len(pieces) == len(expected)
    assert (log_mel(pieces) - log_mel(expected)).abs().mean() < 0.2

    # A click is a jump: at the seams the waveform moves no more than it does elsewhere.
    moves = pieces.diff().abs()
    at_seams = torch.stack([moves[960 * end - 5 : 960 * end + 5].max() for end in ends[:-1]])
    assert at_seams.mean() < moves.quantile(0.99)
