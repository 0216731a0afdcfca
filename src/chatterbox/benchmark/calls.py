"""Calls: what one caller asks of the service, at random, and what comes of it."""

import random
import time
from contextlib import aclosing
from dataclasses import dataclass, replace

from chatterbox.benchmark.subject import Subject
from chatterbox.benchmark.texts import sentences
from chatterbox.errors import Overloaded
from chatterbox.playback import PlaybackClock
from chatterbox.speech import Audio, Sampling, SpeechConfig
from chatterbox.synthesis import Synthesizer

MOST_SENTENCES = 4
_LEAVING = 0.1  # of the callers leave before the end
_PATIENCE_CLIPS = 4  # most that one of them hears
_CFG_WEIGHTS = (0.0, 0.3, 0.5, 0.7)
_TEMPERATURES = (0.5, 1.0, 1.5)  # times the family's own
_TOP_PS = (0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Call:
    """A text, a voice, a seed and settings; `clips` is None for who stays to the end."""

    text: str
    config: SpeechConfig
    clips: int | None


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a caller had of the service, so far."""

    began_s: float
    first_audio_s: float | None = None  # after the call; None: nothing was heard
    audio_s: float = 0.0
    ended_s: float | None = None
    underruns: int = 0
    is_refused: bool = False
    has_left: bool = False

    @property
    def real_time_factor(self) -> float | None:
        """None for who was refused or has left."""
        if self.is_refused or self.has_left or self.ended_s is None or not self.audio_s:
            return None
        return (self.ended_s - self.began_s) / self.audio_s


def random_call(subject: Subject, number: int, *, most_sentences: int = MOST_SENTENCES) -> Call:
    """The call of that number: always the same for a seed."""
    rng = random.Random(f"call {subject.conditions.seed} {number}")
    defaults, known = subject.family.defaults, subject.family.parameters
    assert defaults.temperature is not None, "families have defaults"
    given = Sampling(seed=rng.getrandbits(32))
    if "cfg_weight" in known:
        given = replace(given, cfg_weight=rng.choice(_CFG_WEIGHTS))
    if "top_p" in known:
        given = replace(given, top_p=rng.choice(_TOP_PS))
    given = replace(given, temperature=defaults.temperature * rng.choice(_TEMPERATURES))
    return Call(
        text=sentences(rng.randint(1, most_sentences), rng),
        config=SpeechConfig(
            voice=rng.choice(subject.voice_ids), model=subject.family.id, sampling=given
        ),
        clips=rng.randint(1, _PATIENCE_CLIPS) if rng.random() < _LEAVING else None,
    )


async def make(call: Call, synthesizer: Synthesizer, answer: Answer) -> None:
    """Call, and note in `answer` what is heard when."""
    playback, heard = PlaybackClock(), 0
    try:
        async with aclosing(synthesizer.speak(call.config, call.text)) as events:
            async for event in events:
                if not isinstance(event, Audio):
                    continue
                now_s, duration_s = time.monotonic(), event.clip.duration_s
                if answer.first_audio_s is None:
                    answer.first_audio_s = now_s - answer.began_s
                answer.audio_s += duration_s
                playback.delivered(duration_s, now_s=now_s, owed_since_s=answer.began_s)
                heard += 1
                if heard == call.clips:
                    answer.has_left = True
                    break
    except Overloaded:
        answer.is_refused = True
    answer.underruns = playback.underrun_count
    answer.ended_s = time.monotonic()
