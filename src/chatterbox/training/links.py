"""Links: each trained part alone, judged by a recogniser on sentences no training saw.

`copy` is true mel to sound, `tokens` is true tokens to mel to sound, `text` is the whole chain.
The reference is what the teacher says for the same sentences.
"""

from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import torch
from torch import Tensor

from chatterbox.audio.clip import Clip
from chatterbox.audio.mel import s3gen_log_mel
from chatterbox.audio.resample import soxr
from chatterbox.evaluation.evaluate import sentences as evaluation_sentences
from chatterbox.evaluation.recogniser import Recogniser, normalise
from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.s3gen.config import S3GenConfig
from chatterbox.models.s3gen.flow import Flow
from chatterbox.models.s3gen.vocoder import Vocoder
from chatterbox.models.t3.cache import KVCache
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.model import T3
from chatterbox.text.phonemes import phonemes_of
from chatterbox.training.checkpoints import load
from chatterbox.training.data import TOKEN, symbol_ids
from chatterbox.training.teacher import SAMPLE_RATE, Rendering, Teacher, morph
from chatterbox.training.train_flow import trained_tokenizer
from chatterbox.training.train_vocoder import fresh_vocoder

MORPH = {"pitch": 0.55, "formants": 0.84, "pitch_range": 1.1}  # heart to the male voice


def taught(sentence: str, voice: int, teacher: Teacher) -> Rendering:
    """What the teacher of a voice (0 female, 1 male) says."""
    rendering = teacher.render(phonemes_of(sentence), seed=7)
    return rendering if voice == 0 else morph(rendering, **MORPH)


@dataclass
class Score:
    """Word and character error rates over all sentences, and their number."""

    words: float
    characters: float

    def __str__(self) -> str:
        return f"WER {self.words:.3f} CER {self.characters:.3f}"


def score(recogniser: Recogniser, sentences: list[str], clips: list[np.ndarray]) -> Score:
    """Recognise `clips` (24 kHz) and compare."""
    heard = [recogniser.hear(Clip(c.astype(np.float32), SAMPLE_RATE)) or "-" for c in clips]
    said = [normalise(sentence) for sentence in sentences]
    return Score(float(jiwer.wer(said, heard)), float(jiwer.cer(said, heard)))


def averaged_vocoder(workdir: Path) -> Vocoder:
    """The averaged vocoder, finished if it is, with the averaged pitch predictor."""
    vocoder = fresh_vocoder()
    state = load(workdir / "finish.pt") or load(workdir / "vocoder.pt")
    assert state is not None
    vocoder.load_state_dict(state["average"])
    pitch = load(workdir / "pitch.pt")
    if pitch is not None:
        vocoder.f0_predictor.load_state_dict(pitch["average"])
    return vocoder.eval()


def averaged_flow(workdir: Path) -> Flow:
    """The averaged flow."""
    flow = Flow(S3GenConfig.tiny().flow)
    state = load(workdir / "flow.pt")
    assert state is not None
    flow.load_state_dict(state["average"])
    return flow.eval()


def averaged_t3(workdir: Path) -> T3:
    """The averaged T3."""
    t3 = T3(T3Config.tiny())
    state = load(workdir / "t3.pt")
    assert state is not None
    t3.load_state_dict(state["average"])
    return t3.eval()


@torch.inference_mode()
def mel_of(samples: np.ndarray) -> Tensor:
    """(n,) at 24 kHz -> (1, 80, frames), padded to whole tokens."""
    padded = np.pad(samples, (0, -len(samples) % TOKEN))
    return s3gen_log_mel(torch.from_numpy(padded.astype(np.float32))[None])


@torch.inference_mode()
def sound(vocoder: Vocoder, mel: Tensor) -> np.ndarray:
    """(1, 80, F) -> samples at 24 kHz."""
    f0 = vocoder.pitch(mel)
    phases, noise = vocoder.draw(mel.shape[-1], generator=torch.Generator().manual_seed(0))
    return np.asarray(vocoder.decode(mel, vocoder.source(f0, phases, noise))[0])


@torch.inference_mode()
def tokens_of(workdir: Path, samples: np.ndarray) -> Tensor:
    """(n,) at 24 kHz -> (1, tokens)."""
    padded = np.pad(samples, (0, -len(samples) % TOKEN)).astype(np.float32)
    low = soxr(Clip(padded, SAMPLE_RATE), 16000).samples
    return trained_tokenizer(workdir).tokenize(torch.from_numpy(low)[None])


@torch.inference_mode()
def mel_from_tokens(flow: Flow, tokens: Tensor, x_vector: Tensor) -> Tensor:
    """(1, T) tokens, (1, 256) -> (1, 80, 2T), without a prompt."""
    mu = flow.encode(tokens, None, x_vector)
    return flow.solve(mu, x_vector, torch.zeros_like(mu))


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the next token is chosen."""

    temperature: float = 0.0
    cfg: float = 0.0
    top_p: float = 0.9
    seed: int = 0


@torch.inference_mode()
def speak_tokens(t3: T3, phonemes: str, speaker: Tensor, drawing: Drawing) -> Tensor:
    """Phonemes and a speaker (1, 256) to tokens (1, T), stopped at 12 times the text at most."""
    config = t3.config
    text = torch.tensor([symbol_ids(phonemes)])
    prompt = text.new_zeros(1, 0)
    conditioning = T3Conditioning(speaker_embedding=speaker, prompt_tokens=prompt)
    guided = drawing.cfg > 0
    embeds = t3.prefix(text, conditioning, guided=guided)
    rows = torch.arange(embeds.shape[0])
    limit = 40 + 4 * text.shape[1]
    cache = KVCache(config, rows=len(rows), max_length=embeds.shape[1] + limit + 1)
    generator = torch.Generator().manual_seed(drawing.seed)
    start = torch.zeros(len(rows), dtype=torch.long)
    logits = t3(embeds, cache, rows, start)
    spoken: list[int] = []
    while len(spoken) < limit:
        token = _choose(logits, drawing, generator)
        if token == config.stop_speech:
            break
        spoken.append(token)
        ids = torch.full((len(rows),), token)
        step = torch.full((len(rows),), len(spoken))
        position = start + embeds.shape[1] + len(spoken) - 1
        logits = t3(t3.embed_speech(ids, step), cache, rows, position)
    return torch.tensor([[token for token in spoken if token < config.speech_codes]])


def _choose(logits: Tensor, drawing: Drawing, generator: torch.Generator) -> int:
    scores = logits[0]
    if drawing.cfg > 0:
        scores = scores + drawing.cfg * (logits[0] - logits[1])
    if drawing.temperature == 0:
        return int(scores.argmax())
    chances = torch.softmax(scores / drawing.temperature, -1)
    ordered, ids = chances.sort(descending=True)
    ordered[ordered.cumsum(0) - ordered > drawing.top_p] = 0
    return int(ids[torch.multinomial(ordered, 1, generator=generator)])


def report(workdir: Path, count: int = 20) -> list[str]:
    """One line per link and voice: the teacher, true mels, true tokens, text."""
    sentences = evaluation_sentences()[:count]
    recogniser, teacher = Recogniser(threads=1), Teacher()
    vocoder, flow, t3 = averaged_vocoder(workdir), averaged_flow(workdir), averaged_t3(workdir)
    embeddings = torch.load(workdir / "speakers.pt", weights_only=True).mean(1)
    lines = []
    for voice, embedding in enumerate(torch.nn.functional.normalize(embeddings, dim=-1)):
        speaker = embedding[None]
        said = [taught(sentence, voice, teacher).samples for sentence in sentences]
        drawing = Drawing(temperature=0.5)
        spoken = [speak_tokens(t3, phonemes_of(s), speaker, drawing) for s in sentences]
        clips = {
            "teacher": said,
            "copy": [sound(vocoder, mel_of(samples)) for samples in said],
            "tokens": [
                sound(vocoder, mel_from_tokens(flow, tokens_of(workdir, samples), speaker))
                for samples in said
            ],
            "text": [sound(vocoder, mel_from_tokens(flow, ids, speaker)) for ids in spoken],
        }
        lines += [
            f"{link} voice {voice}: {score(recogniser, sentences, c)}" for link, c in clips.items()
        ]
    return lines
