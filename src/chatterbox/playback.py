"""PlaybackClock: how long a listener still has something to hear, and how often that was not enough."""


class PlaybackClock:
    """A listener who hears what arrives, in real time, from the first audio on.

    Arithmetic over the moments it is told, in seconds on any one clock that never goes back.
    """

    def __init__(self, *, prebuffer_s: float = 0.0) -> None:
        """The listener begins `prebuffer_s` after the first audio has arrived."""
        self.runs_dry_s: float | None = None  # when all audio will have been heard; None: silence
        self.underrun_count = 0
        self.underrun_s = 0.0  # of silence, in all underruns together
        self._prebuffer_s = prebuffer_s

    def delivered(self, duration_s: float, *, now_s: float, owed_since_s: float) -> float:
        """Audio has arrived; returns the seconds of silence since the audio before it ran out.

        It is owed from when its text was known and the listener's side had asked for it. Had
        everything else been heard by then, there is nobody to keep waiting in the middle of
        speech: playback begins anew, and nothing counts as an underrun.
        """
        ran_dry_s = self.runs_dry_s
        if ran_dry_s is None or ran_dry_s < owed_since_s:
            self.runs_dry_s = now_s + self._prebuffer_s + duration_s
            return 0.0
        late_s = max(0.0, now_s - ran_dry_s)
        if late_s > 0:
            self.underrun_count += 1
            self.underrun_s += late_s
        self.runs_dry_s = max(now_s, ran_dry_s) + duration_s
        return late_s

    def stop(self) -> None:
        """The listener drops what was not heard; the next audio begins playback anew."""
        self.runs_dry_s = None
