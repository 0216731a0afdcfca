"""Word timings against an independent aligner, pocketsphinx's acoustic model of English."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pocketsphinx
import soxr

from chatterbox.audio.clip import Clip
from chatterbox.evaluation.recogniser import normalise
from chatterbox.speech import Audio, Sampling, SpeechConfig, Word
from chatterbox.synthesis import Synthesizer

_RATE_HZ = 16_000
_CENTISECOND = 0.01  # the aligner's frames


@dataclass(slots=True)
class TimingReport:
    """How far starts and ends of words are from the aligner's, in seconds, ours less theirs."""

    voice: str
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    sentences: int = 0  # compared
    passed_over: int = 0  # the aligner could not follow them, or reads them as other words

    @property
    def median_start_s(self) -> float:
        return float(np.median(np.abs(self.starts_s))) if self.starts_s else float("nan")

    @property
    def median_end_s(self) -> float:
        return float(np.median(np.abs(self.ends_s))) if self.ends_s else float("nan")

    def start_quantile_s(self, share: float) -> float:
        """The distance that this share of the starts does not exceed."""
        return float(np.quantile(np.abs(self.starts_s), share)) if self.starts_s else float("nan")


async def evaluate_timings(
    synthesizer: Synthesizer, voice: str, *, texts: Sequence[str], seed: int = 1
) -> TimingReport:
    """Speak every text and compare when its words are said."""
    report = TimingReport(voice)
    for text in texts:
        clip, words = await _spoken(synthesizer, voice, text, seed)
        truth = align(clip, normalise(text).split())
        if truth is None or len(truth) != len(words):
            report.passed_over += 1
            continue
        report.sentences += 1
        for word, (start_s, end_s) in zip(words, truth, strict=True):
            report.starts_s.append(word.start_s - start_s)
            report.ends_s.append(word.end_s - end_s)
    return report


async def _spoken(
    synthesizer: Synthesizer, voice: str, text: str, seed: int
) -> tuple[Clip, list[Word]]:
    """The sound of a text, and its words on that sound's clock."""
    config = SpeechConfig(voice=voice, sampling=Sampling(seed=seed), word_timings=True)
    pieces: list[np.ndarray] = []
    words: list[Word] = []
    rate, segment, begun_s, now_s = 0, -1, 0.0, 0.0
    async with aclosing(synthesizer.speak(config, text)) as events:
        async for event in events:
            if not isinstance(event, Audio):
                continue
            if event.silence is None and event.segment != segment:
                segment, begun_s = event.segment, now_s
            pieces.append(event.clip.samples)
            rate = event.clip.sample_rate_hz
            now_s += event.clip.duration_s
            words += [
                Word(text=w.text, start_s=begun_s + w.start_s, end_s=begun_s + w.end_s)
                for w in event.words
            ]
    return Clip(np.concatenate(pieces), rate), words


def align(clip: Clip, words: Sequence[str]) -> list[tuple[float, float]] | None:
    """When each word begins and ends, in seconds; None where the aligner does not follow."""
    samples = np.clip(soxr.resample(clip.samples, clip.sample_rate_hz, _RATE_HZ), -1, 1)
    pcm = (samples * 32_767).astype(np.int16).tobytes()
    decoder: Any = pocketsphinx.Decoder(loglevel="FATAL", samprate=_RATE_HZ)
    try:
        decoder.set_align_text(" ".join(words))
        _listen(decoder, pcm)
        decoder.set_alignment()  # once more, for the edges
        _listen(decoder, pcm)
    except RuntimeError:
        return None
    entries = [entry for entry in decoder.get_alignment().words() if entry.name[0] not in "<[("]
    return [
        (entry.start * _CENTISECOND, (entry.start + entry.duration) * _CENTISECOND)
        for entry in entries
    ]


def _listen(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
