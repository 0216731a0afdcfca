"""A few steps of every training on made-up speech: the losses fall, and training resumes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from chatterbox.models.s3tokenizer.config import S3TokenizerConfig
from chatterbox.models.s3tokenizer.model import S3Tokenizer
from chatterbox.models.t3.config import T3Config
from chatterbox.text.phonemes import SYMBOLS
from chatterbox.training.checkpoints import load
from chatterbox.training.data import Features, extract, sound_labels, symbol_ids, symbol_samples
from chatterbox.training.export import ASSETS, export
from chatterbox.training.loop import Run, Task, train
from chatterbox.training.teacher import FRAME, SAMPLE_RATE, Recordings, Rendering
from chatterbox.training.train_finish import FinishTask, flow_mels
from chatterbox.training.train_flow import FlowTask, write_tokens
from chatterbox.training.train_hearing import (
    SHARES,
    HearingTask,
    Renditions,
    agreement,
    bundled_s3gen,
    replace_tokenizer,
    varied,
)
from chatterbox.training.train_t3 import T3Task, collate, lines_of
from chatterbox.training.train_tokenizer import HELD_OUT, TokenizerTask
from chatterbox.training.train_vocoder import PitchTask, VocoderTask

PHONEMES = "ə kwˈɪk fˈɑks."  # noqa: RUF001
UTTERANCES = HELD_OUT + 3


def made_up(seed: int, pitch: float) -> Rendering:
    """Two seconds or so of a buzz whose timbre follows the phonemes."""
    rng = np.random.default_rng(seed)
    frames = [8, *rng.integers(8, 16, len(PHONEMES)).tolist(), 8]
    count = sum(frames) * FRAME
    t = np.arange(count) / SAMPLE_RATE
    samples = 0.1 * sum(np.sin(2 * np.pi * pitch * h * t) / h for h in range(1, 8))
    samples = samples + rng.normal(0, 0.01, count)
    f0 = np.full(sum(frames), pitch, np.float32)
    return Rendering(samples.astype(np.float32), f0, [int(n) for n in frames], PHONEMES)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    for voice, pitch in (("ada", 200.0), ("ben", 110.0)):
        recordings = Recordings(folder / voice)
        for i in range(UTTERANCES):
            recordings.append(i, "A quick fox.", made_up(i, pitch))
        extract(folder / voice, limit=UTTERANCES)
    speakers = torch.nn.functional.normalize(torch.rand(2, 4, 256), dim=-1)
    torch.save(speakers, folder / "speakers.pt")
    return folder


def quick(steps: int) -> Run:
    return Run(steps=steps, learning_rate=1e-3, warm_up=2, log_every=2, save_every_s=1e9)


def losses(path: Path) -> list[float]:
    lines = path.with_suffix(".log").read_text().splitlines()
    return [float(line.split("loss=")[1].split()[0]) for line in lines]


def assert_it_learns(task: Task, path: Path, steps: int = 8) -> None:
    train(task, quick(steps), path)
    seen = losses(path)
    assert min(seen[1:]) < seen[0], f"the loss did not fall: {seen}"


def voices(workdir: Path) -> list[Features]:
    return [Features(workdir / "ada"), Features(workdir / "ben")]


def test_every_frame_is_labelled_with_the_sound_it_holds() -> None:
    rendering = made_up(1, 200.0)
    durations = symbol_samples(rendering)
    assert sum(durations) == len(rendering.samples)
    labels = sound_labels(rendering, len(rendering.samples) // 480)
    middle = durations[0] + durations[1] // 2
    assert SYMBOLS[labels[middle // 480]] == "ə"
    assert SYMBOLS[labels[-1]] == " "


def test_a_recording_comes_back_as_it_was(workdir: Path) -> None:
    stored = Recordings(workdir / "ben").load(5)
    original = made_up(5, 110.0)
    assert stored.frames == original.frames
    assert np.abs(stored.samples - original.samples).max() < 1e-4
    assert np.allclose(stored.f0, 110.0, atol=0.1)


def test_extraction_continues_where_it_stopped(workdir: Path, tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    for i in range(3):
        recordings.append(i, "A quick fox.", made_up(i, 200.0))
    extract(tmp_path, limit=1)
    extract(tmp_path, limit=3)
    whole, parts = Features(workdir / "ada"), Features(tmp_path)
    assert parts.spans == whole.spans[:3]
    assert np.array_equal(parts.mel, whole.mel[: len(parts.mel)])


def test_the_vocoder_learns_and_keeps_its_harmonic_source(workdir: Path) -> None:
    task = VocoderTask(voices(workdir), batch=2, tokens=4)
    before = task.model.m_source.l_linear.weight.clone()
    assert_it_learns(task, workdir / "vocoder.pt", steps=6)
    assert torch.equal(task.model.m_source.l_linear.weight, before)


def test_the_pitch_predictor_learns(workdir: Path) -> None:
    assert_it_learns(PitchTask(voices(workdir), batch=2, tokens=20), workdir / "pitch.pt")


def test_text_to_tokens_chain_learns_and_exports(workdir: Path, tmp_path: Path) -> None:
    run = quick(8)
    task = TokenizerTask(voices(workdir), run, batch=4, tokens=20)
    assert_it_learns(task, workdir / "tokenizer.pt")
    for voice in ("ada", "ben"):
        write_tokens(workdir, voice)
    tokens = [np.fromfile(workdir / v / "tokens.i16", np.int16) for v in ("ada", "ben")]
    speakers = torch.load(workdir / "speakers.pt", weights_only=True)
    flow = FlowTask(voices(workdir), tokens, speakers, batch=2, length=20)
    assert_it_learns(flow, workdir / "flow.pt")
    lines = lines_of(workdir / "ada", T3Config.tiny())
    assert len(lines) == UTTERANCES
    assert_it_learns(T3Task(lines, speakers, places=200), workdir / "t3.pt")
    if not (workdir / "vocoder.pt").exists():
        train(VocoderTask(voices(workdir), batch=1, tokens=3), quick(1), workdir / "vocoder.pt")
    mels = flow_mels(flow.model, voices(workdir), tokens, speakers)
    finish = FinishTask(voices(workdir), batch=2, tokens=4, mels=mels)
    finish.steps_here = 1000  # past the discriminators' head start
    train(finish, quick(2), workdir / "finish.pt")
    assert all(loss < 100 for loss in losses(workdir / "finish.pt"))
    export(workdir, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) < 40e6


def renditions(folder: Path) -> Renditions:
    """Noise that is said to be tokens, the same by everybody."""
    rng = np.random.default_rng(1)
    spans = [[100 * i, 100] for i in range(HELD_OUT + 2)]
    count = 100 * len(spans)
    (folder / "spans.jsonl").write_text("".join(f"{span}\n" for span in spans))
    rng.integers(0, 729, count).astype(np.int16).tofile(folder / "tokens.i16")
    mel = rng.normal(0, 0.3, (4 * count, 128)).astype(np.float16)
    for name in SHARES:
        mel.tofile(folder / f"{name}.f16")
    return Renditions(folder)


def test_the_tokenizer_learns_to_hear_the_same_in_others(tmp_path: Path) -> None:
    said = renditions(tmp_path)
    task = HearingTask(said, batch=2, length=20)
    assert agreement(bundled_s3gen().tokenizer, said)["ada"] < 0.05  # it is noise
    assert_it_learns(task, tmp_path / "hearing.pt")


def test_other_rooms_and_speakers_keep_the_speech() -> None:
    rng = np.random.default_rng(1)
    mel = np.full((128, 30), -1.0, np.float32)
    mel[40:50, 10:20] = 1.0  # a band that sounds for a while
    heard = [varied(mel, rng) for _ in range(50)]
    assert all(each.shape == mel.shape and np.isfinite(each).all() for each in heard)
    sounding = [each[:, 12:18].max() > each[:, :8].max() + 0.3 for each in heard]
    assert sum(sounding) > 40  # of some, the band itself is hidden
    assert len({each.tobytes() for each in heard}) == 50


def test_only_the_tokenizer_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "s3gen.safetensors"
    shutil.copyfile(ASSETS / "s3gen.safetensors", file)
    before = load_file(file)
    replace_tokenizer(S3Tokenizer(S3TokenizerConfig.tiny()), file)
    after = load_file(file)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert "tokenizer.encoder.conv1.weight" in changed
    assert all(name.startswith("tokenizer.") for name in changed)
    assert all(before[name].dtype == after[name].dtype for name in before)


def test_rows_say_where_to_look_and_what_comes_next(workdir: Path) -> None:
    config = T3Config.tiny()
    assert_tokens = np.arange(Features(workdir / "ada").spans[0].tokens, dtype=np.int16)
    folder = workdir / "ada"
    if not (folder / "tokens.i16").exists():
        assert_tokens.tofile(folder / "tokens.i16")
    line = lines_of(folder, config)[0]
    batch = collate([line], config, np.random.default_rng(0), slips=0.0)
    spoken = batch.targets[0][batch.targets[0] >= 0]
    assert spoken[:-1].tolist() == line.speech.tolist()
    assert spoken[-1] == config.stop_speech
    looked = batch.ids[0][batch.heard[0][batch.targets[0] >= 0]]
    assert looked[0] == config.start_text
    assert looked[-1] == config.stop_text
    assert set(looked.tolist()) <= {config.start_text, config.stop_text, *symbol_ids(PHONEMES)}


def test_training_goes_on_where_it_stopped(workdir: Path, tmp_path: Path) -> None:
    path = tmp_path / "pitch.pt"
    train(PitchTask(voices(workdir), batch=1, tokens=10), quick(2), path)
    train(PitchTask(voices(workdir), batch=1, tokens=10), quick(4), path)
    state = load(path)
    assert state is not None
    assert state["step"] == 4
    assert len(losses(path)) == 2
