"""S3Gen and its parts: padding changes nothing, and each solver does what it says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chatterbox.models.conditioning import S3GenConditioning
from chatterbox.models.s3gen.config import S3GenConfig, Solver
from chatterbox.models.s3gen.flow import Flow
from chatterbox.models.s3gen.model import RenderNoise, S3Gen
from chatterbox.models.s3gen.vocoder import Vocoder
from chatterbox.models.s3tokenizer.config import S3TokenizerConfig
from chatterbox.models.s3tokenizer.model import S3Tokenizer, quantize

TINY = S3GenConfig.tiny()
LENGTHS = [31, 9, 20]
SOLVERS: list[Solver] = ["cfm", "meanflow", "regression"]


def close(actual: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0.0)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_solver(solver: Solver, steps: int = 3) -> S3GenConfig:
    estimator = replace(TINY.flow.estimator, zero_output=False)
    return replace(TINY, flow=replace(TINY.flow, solver=solver, steps=steps, estimator=estimator))


def voice_of(config: S3GenConfig, prompt: int = 6, odd: int = 0) -> S3GenConditioning:
    generator = seeded(7)
    codes, bins = config.flow.codes, config.flow.mel_bins
    return S3GenConditioning(
        prompt_tokens=torch.randint(codes, (1, prompt), generator=generator),
        prompt_mel=torch.randn(1, 2 * prompt + odd, bins, generator=generator),
        x_vector=torch.randn(1, config.flow.x_vector, generator=generator),
    )


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(TINY.flow.codes, (len(LENGTHS), max(LENGTHS)), generator=seeded())


@pytest.mark.parametrize("solver", SOLVERS)
@torch.inference_mode()
def test_a_padded_row_of_the_flow_is_what_it_is_alone(solver: Solver, tokens: Tensor) -> None:
    torch.manual_seed(0)
    config = with_solver(solver)
    flow = Flow(config.flow).eval()
    voices = torch.randn(len(LENGTHS), config.flow.x_vector)
    lengths = torch.tensor(LENGTHS)
    mu = flow.encode(tokens, lengths, voices)
    noise, condition = torch.randn_like(mu), torch.randn_like(mu)
    mask = (torch.arange(mu.shape[-1]) < 2 * lengths[:, None])[:, None]
    mel = flow.solve(mu, voices, condition, noise, mask=mask)

    for row, length in enumerate(LENGTHS):
        one, frames = slice(row, row + 1), 2 * length
        mu_alone = flow.encode(tokens[one, :length], None, voices[one])
        parts = (condition[one, :, :frames], noise[one, :, :frames])
        close(mu[one, :, :frames], mu_alone)
        close(mel[one, :, :frames], flow.solve(mu_alone, voices[one], *parts))


@torch.inference_mode()
def test_a_padded_row_of_the_vocoder_is_what_it_is_alone() -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(TINY.vocoder).eval()
    frames, per_frame = max(LENGTHS), TINY.vocoder.samples_per_frame
    mel, lengths = torch.randn(len(LENGTHS), 80, frames), torch.tensor(LENGTHS)
    phases, noise = vocoder.draw(frames, len(LENGTHS))
    heard = vocoder.pitch(mel, lengths)
    f0 = 100 + 2000 * heard  # an untrained predictor says next to nothing
    wav = vocoder.decode(mel, vocoder.source(f0, phases, noise), lengths)

    for row, length in enumerate(LENGTHS):
        one, samples = slice(row, row + 1), length * per_frame
        close(heard[one, :length], vocoder.pitch(mel[one, :, :length]))
        source = vocoder.source(f0[one, :length], phases[one], noise[one, :, :samples])
        close(wav[one, :samples], vocoder.decode(mel[one, :, :length], source))


@torch.inference_mode()
def test_a_padded_row_of_the_vocoder_is_what_it_is_alone_in_half_the_bits() -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(TINY.vocoder).eval()
    vocoder.fold_weight_norm()
    vocoder.convert(torch.bfloat16)
    frames, per_frame = max(LENGTHS), TINY.vocoder.samples_per_frame
    mel, lengths = torch.randn(len(LENGTHS), 80, frames), torch.tensor(LENGTHS)
    source = 0.1 * torch.randn(len(LENGTHS), 1, frames * per_frame)
    wav = vocoder.decode(mel, source, lengths)

    for row, length in enumerate(LENGTHS):
        one, samples = slice(row, row + 1), length * per_frame
        alone = vocoder.decode(mel[one, :, :length], source[one, :, :samples])
        assert (wav[one, :samples] - alone).norm() < 0.02 * alone.norm()


@torch.inference_mode()
def test_a_padded_row_of_the_tokenizer_is_what_it_is_alone() -> None:
    torch.manual_seed(0)
    tokenizer = S3Tokenizer(S3TokenizerConfig.tiny()).eval()
    frames = [57, 8, 33]
    log_mel = torch.randn(3, 128, max(frames))
    hidden = tokenizer.encode(log_mel, torch.tensor(frames))

    for row, length in enumerate(frames):
        alone = tokenizer.encode(log_mel[row : row + 1, :, :length])
        assert alone.shape[1] == -(-length // 4)
        close(hidden[row : row + 1, : alone.shape[1]], alone)


@pytest.mark.parametrize("odd", [0, 1])
@torch.inference_mode()
def test_a_padded_utterance_sounds_as_it_does_alone(odd: int, tokens: Tensor) -> None:
    torch.manual_seed(0)
    config = with_solver("meanflow", steps=2)
    s3gen = S3Gen(config).eval()
    voice = voice_of(config, odd=odd)
    noise = s3gen.draw_noise(max(LENGTHS), voice, batch=len(LENGTHS), generator=seeded())
    wavs = s3gen.render(tokens, voice, noise, lengths=torch.tensor(LENGTHS))

    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        samples = s3gen.output_frames(length, voice) * config.vocoder.samples_per_frame
        assert noise.flow is not None
        alone = RenderNoise(
            flow=noise.flow[one, :, : 2 * (6 + length)],
            phases=noise.phases[one],
            source=noise.source[one, :, :samples],
        )
        wav = s3gen.render(tokens[one, :length], voice, alone)
        assert wav.shape == (1, samples)
        close(wavs[one, :samples], wav, atol=1e-4)


@torch.inference_mode()
def test_an_odd_prompt_frame_costs_the_first_generated_one(tokens: Tensor) -> None:
    config = with_solver("regression")
    s3gen = S3Gen(config).eval()
    even, odd = (voice_of(config, odd=extra) for extra in (0, 1))

    assert s3gen.mel(tokens[:1], even, None).shape[-1] == 2 * tokens.shape[1]
    assert s3gen.mel(tokens[:1], odd, None).shape[-1] == 2 * tokens.shape[1] - 1


@torch.inference_mode()
def test_an_unfinished_sequence_leaves_out_the_frames_that_wait(tokens: Tensor) -> None:
    config = with_solver("regression")
    s3gen = S3Gen(config).eval()
    mel = s3gen.mel(tokens[:1], voice_of(config), None, final=False)

    assert mel.shape[-1] == 2 * (tokens.shape[1] - config.flow.encoder.lookahead)


@torch.inference_mode()
def test_regression_starts_as_the_encoder_s_guess(tokens: Tensor) -> None:
    torch.manual_seed(0)
    flow = Flow(TINY.flow).eval()
    x_vector = torch.randn(len(LENGTHS), TINY.flow.x_vector)
    mu = flow.encode(tokens, None, x_vector)

    close(flow.solve(mu, x_vector, torch.zeros_like(mu)), mu, atol=0.0)


@torch.inference_mode()
def test_the_tiny_encoder_hears_the_speaker_in_direction_only(tokens: Tensor) -> None:
    torch.manual_seed(0)
    flow = Flow(TINY.flow).eval()
    one, other = torch.randn(2, 1, TINY.flow.x_vector)
    mu = flow.encode(tokens[:1], None, one)

    close(flow.encode(tokens[:1], None, 3 * one), mu)
    assert not torch.allclose(flow.encode(tokens[:1], None, other), mu, atol=1e-2)


@torch.inference_mode()
def test_guidance_of_zero_listens_to_the_condition_alone(tokens: Tensor) -> None:
    torch.manual_seed(0)
    guided = Flow(with_solver("cfm", steps=1).flow).eval()
    unguided = Flow(replace(guided.config, guidance=0.0)).eval()
    unguided.load_state_dict(guided.state_dict())
    x_vector = torch.randn(1, TINY.flow.x_vector)
    mu = guided.encode(tokens[:1], None, x_vector)
    noise, condition = torch.randn_like(mu), torch.randn_like(mu)
    context = guided.context(mu, guided.speaker(x_vector), condition)
    velocity = guided.estimator(noise, context, torch.zeros(1))

    close(unguided.solve(mu, x_vector, condition, noise), noise + velocity)
    assert not torch.allclose(guided.solve(mu, x_vector, condition, noise), noise + velocity)


def test_the_pitch_of_the_source_is_the_one_asked_for() -> None:
    torch.manual_seed(0)
    vocoder = Vocoder(TINY.vocoder)
    with torch.no_grad():  # hear the fundamental alone
        vocoder.m_source.l_linear.weight.zero_()[0, 0] = 1.0
        vocoder.m_source.l_linear.bias.zero_()
        phases, noise = vocoder.draw(50)
        source = vocoder.source(torch.full((1, 50), 200.0), phases, 0 * noise)[0, 0]

    spectrum = torch.fft.rfft(source).abs()
    assert int(spectrum.argmax()) == 200  # one second, so bins are hertz


def test_rounding_counts_in_base_three() -> None:
    values = torch.tensor([[-0.9, 0.2, 0.9, -0.4], [0.5, -0.5, 0.51, -0.51]])

    assert quantize(values).tolist() == [0 + 1 * 3 + 2 * 9 + 1 * 27, 1 + 1 * 3 + 2 * 9 + 0 * 27]


@torch.inference_mode()
def test_long_audio_keeps_its_number_of_tokens() -> None:
    torch.manual_seed(0)
    config = replace(S3TokenizerConfig.tiny(), window_frames=120, overlap_frames=16)
    tokenizer = S3Tokenizer(config).eval()

    for frames in (119, 120, 121, 224, 500):
        tokens = tokenizer.tokenize(0.1 * torch.randn(1, frames * 160))
        assert tokens.shape == (1, -(-frames // 4))
        assert int(tokens.min()) >= 0
        assert int(tokens.max()) < config.codes


def test_gradients_reach_every_weight_that_training_needs(tokens: Tensor) -> None:
    torch.manual_seed(0)
    flow = Flow(with_solver("regression").flow)
    x_vector = torch.randn(1, TINY.flow.x_vector)
    mu = flow.encode(tokens[:1], torch.tensor([20]), x_vector)
    flow.solve(mu, x_vector, torch.zeros_like(mu)).square().mean().backward()

    assert [name for name, weight in flow.named_parameters() if weight.grad is None] == []
