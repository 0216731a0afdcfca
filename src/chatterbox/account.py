"""Account: what was said in one stream, when, and whether a listener had to wait."""

import time
from dataclasses import dataclass, replace

from chatterbox.playback import PlaybackClock
from chatterbox.speech import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account as it stands, with moments as distances in seconds: valid on any machine."""

    character_count: int = 0
    segment_count: int = 0
    sequence: int = 0
    offset_samples: int = 0
    compute_s: float = 0.0
    age_s: float | None = None  # since the first text
    first_audio_s: float = 0.0  # after the first text, as the next
    last_audio_s: float = 0.0
    ahead_s: float | None = None  # of audio that the listener had not heard; None: silence
    underrun_count: int = 0
    underrun_s: float = 0.0

    def later(self, seconds: float) -> "Balance":
        """The same when some time has passed without anything being said."""
        return replace(
            self,
            age_s=None if self.age_s is None else self.age_s + seconds,
            ahead_s=None if self.ahead_s is None else self.ahead_s - seconds,
        )


class Account:
    """The books of one session. Moments are read from the monotonic clock."""

    def __init__(self, balance: Balance, *, sample_rate_hz: int) -> None:
        """Goes on from `balance`."""
        now_s = time.monotonic()
        self.character_count = balance.character_count
        self.segment_count = balance.segment_count
        self.sequence = balance.sequence  # the number of the next clip
        self.offset = balance.offset_samples  # where it begins
        self.compute_s = balance.compute_s
        self.playback = PlaybackClock()
        self.playback.underrun_count = balance.underrun_count
        self.playback.underrun_s = balance.underrun_s
        if balance.ahead_s is not None:
            self.playback.runs_dry_s = now_s + balance.ahead_s
        self._rate = sample_rate_hz
        self._first_text_s = None if balance.age_s is None else now_s - balance.age_s
        self._first_audio_s = (self._first_text_s or 0.0) + balance.first_audio_s
        self._last_audio_s = (self._first_text_s or 0.0) + balance.last_audio_s

    def text_arrived(self, character_count: int) -> None:
        """Start the clock, and count what the caller sent."""
        self.character_count += character_count
        if self._first_text_s is None:
            self._first_text_s = time.monotonic()

    def delivered(self, sample_count: int, *, owed_since_s: float) -> None:
        """So many samples go out; see `PlaybackClock`."""
        now_s = self._last_audio_s = time.monotonic()
        self.playback.delivered(sample_count / self._rate, now_s=now_s, owed_since_s=owed_since_s)
        if self.sequence == 0:
            self._first_audio_s = now_s
        self.sequence += 1
        self.offset += sample_count

    def balance(self) -> Balance:
        """As it stands now."""
        now_s, began_s = time.monotonic(), self._first_text_s
        dry_s = self.playback.runs_dry_s
        return Balance(
            character_count=self.character_count,
            segment_count=self.segment_count,
            sequence=self.sequence,
            offset_samples=self.offset,
            compute_s=self.compute_s,
            age_s=None if began_s is None else now_s - began_s,
            first_audio_s=self._first_audio_s - (began_s or 0.0) if self.sequence else 0.0,
            last_audio_s=self._last_audio_s - (began_s or 0.0) if self.sequence else 0.0,
            ahead_s=None if dry_s is None else dry_s - now_s,
            underrun_count=self.playback.underrun_count,
            underrun_s=self.playback.underrun_s,
        )

    def summary(self) -> Summary:
        """All of it, at the end."""
        balance = self.balance()
        audio_s = self.offset / self._rate
        return Summary(
            character_count=self.character_count,
            segment_count=self.segment_count,
            audio_duration_s=audio_s,
            time_to_first_audio_s=balance.first_audio_s,
            synthesis_duration_s=balance.last_audio_s,
            compute_duration_s=self.compute_s,
            real_time_factor=balance.last_audio_s / audio_s if audio_s else 0.0,
            underrun_count=self.playback.underrun_count,
            underrun_s=self.playback.underrun_s,
        )
