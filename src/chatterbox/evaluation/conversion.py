"""Conversion: whether the words are kept and the speaker moved.

There are three kinds of sources, for they differ: what the bundled voices say, the speech of the teacher
that the tokenizer was trained on, and two speakers of the program `flite`, whom nothing here has ever heard.
Teacher and strangers are left out where they are not installed. None is a recording of a person.
"""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode_stream import Damage
from chatterbox.conversion import ConversionConfig, Converter
from chatterbox.evaluation.evaluate import Embed, sentences, speak
from chatterbox.evaluation.likeness import speaker_embedder
from chatterbox.evaluation.recogniser import Recogniser, word_errors
from chatterbox.speech import Audio
from chatterbox.synthesis import Synthesizer

CASES = 20  # of each kind
_SEED = 1
_PAIR = ("ada", "ben")
_TEACHERS_TARGET = "ben"  # ada was made from the teacher's own voice
_STRANGERS = {"slt": "ben", "rms": "ada"}  # a woman and a man of flite, and whom they become


@dataclass(slots=True)
class ConversionReport:
    """The figures of one kind of source."""

    source: str
    cases: int = 0
    moved: int = 0  # nearer to the target's voice than to the source
    words: int = 0
    errors_before: int = 0
    errors_after: int = 0

    def figures(self) -> dict[str, Any]:
        """One row of the result."""
        return {
            "source": self.source,
            "cases": self.cases,
            "moved": self.moved,
            "errors_before": self.errors_before / self.words,
            "errors_after": self.errors_after / self.words,
        }


@dataclass(frozen=True, slots=True)
class _Case:
    text: str
    clip: Clip
    target: str


async def evaluate_conversion(
    synthesizer: Synthesizer, converter: Converter, recogniser: Recogniser
) -> list[ConversionReport]:
    """Convert the cases of every kind of source that there is, as a stream; hear both sides."""
    embed, voices = speaker_embedder(), synthesizer.voices
    family = next(iter(synthesizer.engine.families))
    references = {
        voice: voices.conditioning(voice, family).t3.speaker_embedding[0].numpy() for voice in _PAIR
    }
    reports = []
    own = [case async for case in _of_bundled_voices(synthesizer)]
    kinds = {"bundled voices": own, "teacher": list(_of_teacher())}
    kinds |= {f"flite {name}": list(_of_stranger(name)) for name in _STRANGERS}
    for name, cases in kinds.items():
        report = ConversionReport(name)
        for case in cases:
            converted = await _converted(converter, case)
            _judge(report, case, converted, recogniser, embed, references[case.target])
        if report.cases:
            reports.append(report)
    return reports


async def _of_bundled_voices(synthesizer: Synthesizer) -> AsyncIterator[_Case]:
    for text in sentences()[: CASES // 2]:
        for source, target in (_PAIR, _PAIR[::-1]):
            spoken = await speak(synthesizer, source, text, _SEED)
            yield _Case(text, spoken.clip, target)


def _of_teacher() -> Iterator[_Case]:
    try:
        from hibari import Hibari

        teacher = Hibari()
    except ModuleNotFoundError:  # its runtime is there for training only
        return
    for text in sentences()[:CASES]:
        samples = np.asarray(teacher(text), np.float32).reshape(-1)
        yield _Case(text, Clip(samples, teacher.sample_rate), _TEACHERS_TARGET)


def _of_stranger(name: str) -> Iterator[_Case]:
    flite = shutil.which("flite")
    if flite is None:
        return
    for text in sentences()[:CASES]:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "said.wav"
            subprocess.run([flite, "-voice", name, "-t", text, "-o", str(file)], check=True)
            samples, rate = soundfile.read(file, dtype="float32")
        yield _Case(text, Clip(samples, rate), _STRANGERS[name])


async def _converted(converter: Converter, case: _Case) -> Clip:
    async def source() -> AsyncIterator[Clip | Damage]:
        yield case.clip

    pieces, rate = [], 0
    config = ConversionConfig(voice=case.target, seed=_SEED)
    async with aclosing(converter.convert(config, source())) as events:
        async for event in events:
            if isinstance(event, Audio):
                pieces.append(event.clip.samples)
                rate = event.clip.sample_rate_hz
    return Clip(np.concatenate(pieces), rate)


def _judge(  # both sides and those who judge them
    report: ConversionReport,
    case: _Case,
    converted: Clip,
    recogniser: Recogniser,
    embed: Embed,
    target: np.ndarray,
) -> None:
    errors_before, words = word_errors(case.text, recogniser.hear(case.clip))
    errors_after, _ = word_errors(case.text, recogniser.hear(converted))
    heard = embed(converted)
    report.cases += 1
    report.words += words
    report.errors_before += errors_before
    report.errors_after += errors_after
    report.moved += bool(heard @ target > heard @ embed(case.clip))
