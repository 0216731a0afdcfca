"""Evaluation: speak the sentences, hear them, and say how good a voice is."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.evaluation.recogniser import Recogniser, word_errors
from chatterbox.speech import Audio, Sampling, SpeechConfig, Summary
from chatterbox.synthesis import Synthesizer

HEARD_SENTENCES = 40  # of the hundred, these go through the recogniser
SEEDS = (1, 2)
EARLY, RUNAWAY = 0.6, 1.6  # of the voice's own median pace, in seconds per character

Embed = Callable[[Clip], np.ndarray]  # a clip to a speaker embedding of unit norm


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence spoken: its sound and how long it took to make."""

    text: str
    seed: int
    clip: Clip
    time_to_first_audio_s: float
    real_time_factor: float

    @property
    def pace(self) -> float:
        return self.clip.duration_s / len(self.text)


@dataclass(slots=True)
class VoiceReport:
    """The figures of one voice. `likeness` maps voice ids to the mean cosine to each."""

    voice: str
    spoken: list[Spoken] = field(default_factory=list)
    word_error_rates: dict[int, float] = field(default_factory=dict)  # by seed
    misheard: list[tuple[str, str]] = field(default_factory=list)
    likeness: dict[str, float] = field(default_factory=dict)

    @property
    def word_error_rate(self) -> float:
        return statistics.fmean(self.word_error_rates.values())

    @property
    def real_time_factor(self) -> float:
        return statistics.median(spoken.real_time_factor for spoken in self.spoken)

    @property
    def time_to_first_audio_s(self) -> float:
        return statistics.median(spoken.time_to_first_audio_s for spoken in self.spoken)

    @property
    def ill_paced(self) -> list[Spoken]:
        """What stopped early or ran away, against the voice's own median pace."""
        usual = statistics.median(spoken.pace for spoken in self.spoken)
        return [s for s in self.spoken if not EARLY * usual <= s.pace <= RUNAWAY * usual]

    @property
    def resembles_itself(self) -> bool:
        return max(self.likeness, key=self.likeness.__getitem__) == self.voice


def sentences() -> list[str]:
    """A hundred everyday sentences; none is in the training text (`training.corpus` drops them)."""
    path = files("chatterbox") / "assets" / "evaluation" / "sentences.txt"
    return path.read_text("utf-8").splitlines()


async def speak(synthesizer: Synthesizer, voice: str, text: str, seed: int) -> Spoken:
    """`text` in `voice` through the whole engine, streamed and joined."""
    config = SpeechConfig(voice=voice, sampling=Sampling(seed=seed))
    pieces: list[np.ndarray] = []
    rate = 0
    async with aclosing(synthesizer.speak(config, text)) as events:
        async for event in events:
            if isinstance(event, Audio):
                pieces.append(event.clip.samples)
                rate = event.clip.sample_rate_hz
            elif isinstance(event, Summary):
                summary = event
    return Spoken(
        text,
        seed,
        Clip(np.concatenate(pieces), rate),
        summary.time_to_first_audio_s,
        summary.real_time_factor,
    )


def plan(texts: Sequence[str], heard: int) -> Iterator[tuple[str, int, bool]]:
    """(text, seed, whether the recogniser hears it) for every utterance of one voice."""
    for seed in SEEDS:
        for text in texts[:heard]:
            yield text, seed, True
    for text in texts[heard:]:
        yield text, SEEDS[0], False


async def evaluate_voice(
    synthesizer: Synthesizer,
    recogniser: Recogniser,
    voice: str,
    *,
    texts: Sequence[str],
    heard: int = HEARD_SENTENCES,
    on_spoken: Callable[[Spoken], None] = lambda _: None,
) -> VoiceReport:
    """Speak every text, hear the first `heard` of them under each seed."""
    report = VoiceReport(voice)
    counts = {seed: [0, 0] for seed in SEEDS}
    for text, seed, listen in plan(texts, heard):
        spoken = await speak(synthesizer, voice, text, seed)
        report.spoken.append(spoken)
        on_spoken(spoken)
        if listen:
            words = recogniser.hear(spoken.clip)
            errors, total = word_errors(text, words)
            counts[seed][0] += errors
            counts[seed][1] += total
            if errors:
                report.misheard.append((text, words))
    report.word_error_rates = {seed: errors / words for seed, (errors, words) in counts.items()}
    return report


def compare_speakers(
    reports: Sequence[VoiceReport],
    references: dict[str, np.ndarray],
    embed: Embed,
    *,
    clips: int = 20,
) -> None:
    """Fill in each report's likeness: the mean cosine of its clips to every voice's reference."""
    for report in reports:
        embeddings = np.stack([embed(spoken.clip) for spoken in report.spoken[:clips]])
        report.likeness = {
            voice: float((embeddings @ reference).mean()) for voice, reference in references.items()
        }
