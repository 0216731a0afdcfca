"""Cloning: does a voice that was made of a recording sound like whoever spoke in it?"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from chatterbox.audio.clip import Clip
from chatterbox.audio.files import wav_bytes
from chatterbox.evaluation.recogniser import Recogniser, word_errors
from chatterbox.speech import Audio, Sampling, SpeechConfig
from chatterbox.synthesis import Synthesizer

# Long enough to make a voice of.
REFERENCE = (
    "Early in the morning the market square is still empty, and only the baker is awake. "
    "Then the first carts arrive, somebody laughs, and the day has begun."
)

Embed = Callable[[Clip], np.ndarray]


@dataclass(slots=True)
class CloningReport:
    """What copies of one speaker are like."""

    speaker: str
    likeness: dict[str, float] = field(default_factory=dict)  # mean cosine to each recording
    closest_to_itself: int = 0  # clips
    clips: int = 0
    word_error_rate: float = float("nan")


async def evaluate_cloning(
    synthesizer: Synthesizer,
    recogniser: Recogniser,
    embed: Embed,
    recordings: Mapping[str, Clip],
    *,
    texts: Sequence[str],
    seed: int = 1,
) -> list[CloningReport]:
    """Speak every text in a copy of each speaker; the copy is made of the recording alone."""
    references = {speaker: embed(clip) for speaker, clip in recordings.items()}
    reports = []
    for speaker, recording in recordings.items():
        report = CloningReport(speaker)
        cosines: dict[str, list[float]] = {other: [] for other in references}
        errors = words = 0
        for text in texts:
            config = SpeechConfig(
                sampling=Sampling(seed=seed), reference_audio=wav_bytes(recording)
            )
            clip = await speech_of(synthesizer, config, text)
            embedding = embed(clip)
            for other, reference in references.items():
                cosines[other].append(float(embedding @ reference))
            latest = {other: values[-1] for other, values in cosines.items()}
            report.closest_to_itself += max(latest, key=latest.__getitem__) == speaker
            report.clips += 1
            missed, spoken = word_errors(text, recogniser.hear(clip))
            errors, words = errors + missed, words + spoken
        report.likeness = {other: float(np.mean(values)) for other, values in cosines.items()}
        report.word_error_rate = errors / words
        reports.append(report)
    return reports


async def speech_of(synthesizer: Synthesizer, config: SpeechConfig, text: str) -> Clip:
    """The whole sound of a text."""
    pieces: list[np.ndarray] = []
    rate = 0
    async with aclosing(synthesizer.speak(config, text)) as events:
        async for event in events:
            if isinstance(event, Audio):
                pieces.append(event.clip.samples)
                rate = event.clip.sample_rate_hz
    return Clip(np.concatenate(pieces), rate)
