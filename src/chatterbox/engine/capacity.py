"""CapacityMeter: learns from the device's own timings what its work costs, and so what it can carry.

Three things are timed: decode steps, renderings, and everything else, and how much of it the
device did beside other work. From them follows how much of each second it would be busy with so
many live streams. Plain Python, a few numbers of memory; what is old is forgotten, so that a
machine that slows down is believed.
"""

from dataclasses import dataclass

from chatterbox.engine.config import TOKEN_RATE_HZ

_NEWS = 0.05  # weight of an observation, once there have been twenty
_ENOUGH_VARIANCE = 0.25  # of sizes: with less, how the cost grows cannot be seen in the noise
_MOST_HIDDEN = 0.5  # of two lanes; more would be a mistake of the clocks
_OUTLIER = 4.0  # times what was expected; more is a hiccup of the machine


@dataclass(frozen=True, slots=True)
class BatchCost:
    """Seconds of a piece of work that grow in a straight line with its size."""

    one_s: float = 0.0  # of size 1
    share: float | None = None  # of that, what each further unit adds; None while unknown

    def seconds(self, size: float) -> float:
        """What work of this size takes; in proportion to size while nothing better is known."""
        share = 1.0 if self.share is None else self.share
        return self.one_s * (1 + share * (size - 1))

    @property
    def gains(self) -> bool:
        """Whether work done together may be cheaper than one by one."""
        return self.share is None or self.share < 0.9

    @property
    def hardly_grows(self) -> bool:
        """Whether so much of it is fixed that even who comes first is better off together."""
        return self.share is not None and self.share < 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the work costs, as measured so far; all zero before the first measurement."""

    step: BatchCost = BatchCost()  # one decode step of so many sequences
    chunk: BatchCost = BatchCost()  # one chunk of so many tokens, rendered alone
    batch: BatchCost = BatchCost(1.0)  # so many chunks together, counted in chunks alone
    position_s: float = 0.0  # reading one position of a prefix
    render_per_s: float = 0.0  # rendering a second of audio alone, in chunks as they come
    rest_per_s: float = 0.0  # everything else for a second of audio
    hidden: float = 0.0  # the share of all work that was done beside other work, in [0, 1)

    def render_s(self, chunks: int, tokens: int) -> float:
        """Rendering so many chunks together, the longest of so many tokens."""
        return self.chunk.seconds(tokens) * self.batch.seconds(chunks)

    def utilisation(self, streams: int, slots: int, render_batch: int) -> float:
        """The part of each second that so many streams keep the device busy, in real time.

        Above 1 they cannot all be heard without gaps.
        """
        draw_s, render_s = self.token_s(streams, slots, render_batch)
        return TOKEN_RATE_HZ * (draw_s + render_s) * (1 - self.hidden)

    def token_s(self, streams: int, slots: int, render_batch: int) -> tuple[float, float]:
        """What a token of each of so many streams takes to draw, and to render with all the rest."""
        decoded = min(streams, slots)
        draw_s = self.step.seconds(decoded) * streams / decoded
        rendered = (1 + min(streams, render_batch)) / 2  # batches are seldom full
        render_per_s = self.render_per_s * self.batch.seconds(rendered) / rendered
        return draw_s, streams * (render_per_s + self.rest_per_s) / TOKEN_RATE_HZ

    def stream_limit(self, utilisation: float, slots: int, render_batch: int) -> int | None:
        """The most streams whose utilisation is at most this; None before anything is known."""
        if self.step.one_s == 0.0 or self.render_per_s == 0.0:
            return None
        full = max(slots, render_batch)  # beyond it every further stream costs the same
        for streams in range(1, full + 1):
            if self.utilisation(streams, slots, render_batch) > utilisation:
                return streams - 1
        each = self.utilisation(full, slots, render_batch) / full
        return int(utilisation / each)


class CapacityMeter:
    """Takes timings, gives `costs`. Belongs to one thread; `costs` may be read from any."""

    def __init__(self) -> None:
        self.costs = Costs()
        self._step = _Line()
        self._chunk = _Line()
        self._batch = _Line()
        self._position = _Line()
        self._sums = _Sums()

    def drew(
        self, *, sequences: int, steps: int, positions: int, seconds: float, hidden_s: float = 0.0
    ) -> None:
        """A turn took `seconds`: `steps` decode steps of `sequences`, and `positions` were read.

        Of them, `hidden_s` passed while the engine did something else; negative where it waited
        for longer than the work took, so that the two cancel out.
        """
        self._sums.hidden_s += hidden_s
        if positions:
            decoding_s = steps * self.costs.step.seconds(sequences) if sequences else 0.0
            reading_s = max(0.0, seconds - decoding_s)
            self._position.observe(1, reading_s / positions)
            self._sums.rest_s += reading_s
            self._sums.drawn_s += seconds - reading_s
        elif sequences:
            self._step.observe(sequences, seconds / steps)
            self._sums.drawn_s += seconds
        self._update()

    def rendered(
        self, *, chunks: int, tokens: int, audio_s: float, seconds: float, hidden_s: float = 0.0
    ) -> None:
        """Rendering `chunks` together, the longest of `tokens`, `audio_s` in all, took `seconds`.

        `hidden_s` as in `drew`.
        """
        alone_s = self.costs.chunk.seconds(tokens)
        self._batch.observe(chunks, seconds / alone_s if alone_s else 1.0)
        together = BatchCost(1.0, self._batch.share).seconds(chunks)
        self._chunk.observe(tokens, seconds / together)
        self._sums.add(audio_s, render_s=seconds * chunks / together, rendered_s=seconds)
        self._sums.hidden_s += hidden_s
        self._update()

    def spent(self, seconds: float) -> None:
        """The engine was busy for `seconds` with neither drawing nor rendering."""
        self._sums.rest_s += seconds

    def forget_mix(self) -> None:
        """Begin anew with what a second of audio takes; how the parts grow is kept."""
        self._sums = _Sums()

    def _update(self) -> None:
        self.costs = Costs(
            step=self._step.cost,
            chunk=self._chunk.cost,
            batch=BatchCost(1.0, self._batch.share),
            position_s=self._position.cost.one_s,
            render_per_s=self._sums.render_per_s,
            rest_per_s=self._sums.rest_per_s,
            hidden=self._sums.hidden,
        )


class _Line:
    """A straight line through what was observed, the recent counting most.

    When all sizes are alike there is no slope to see: then only the level is learned, and the
    growth stays as it was learned last, in proportion.
    """

    def __init__(self) -> None:
        self.share: float | None = None
        self._size, self._seconds = 1.0, 0.0  # weighted means
        self._variance, self._covariance = 0.0, 0.0
        self._count = 0

    @property
    def cost(self) -> BatchCost:
        share = 1.0 if self.share is None else self.share
        return BatchCost(self._seconds / (1 + share * (self._size - 1)), self.share)

    def observe(self, size: float, seconds: float) -> None:
        if self._count:
            seconds = min(seconds, _OUTLIER * self.cost.seconds(size))
        self._count += 1
        news = max(_NEWS, 1 / self._count)
        off_size, off_seconds = size - self._size, seconds - self._seconds
        self._size += news * off_size
        self._seconds += news * off_seconds
        self._variance = (1 - news) * (self._variance + news * off_size**2)
        self._covariance = (1 - news) * (self._covariance + news * off_size * off_seconds)
        if self._variance >= _ENOUGH_VARIANCE:
            slope = self._covariance / self._variance
            one_s = self._seconds - slope * (self._size - 1)
            self.share = min(max(slope / one_s, 0.0), 1.0) if one_s > 0 else 1.0


@dataclass(slots=True)
class _Sums:
    """Audio made and what it took, forgotten at one pace."""

    audio_s: float = 0.0
    render_s: float = 0.0  # had every chunk been rendered alone
    rendered_s: float = 0.0  # as it was
    rest_s: float = 0.0
    drawn_s: float = 0.0
    hidden_s: float = 0.0  # of all of these

    def add(self, audio_s: float, *, render_s: float, rendered_s: float) -> None:
        kept = 1 - _NEWS
        self.audio_s = kept * self.audio_s + audio_s
        self.render_s = kept * self.render_s + render_s
        self.rendered_s = kept * self.rendered_s + rendered_s
        self.rest_s *= kept
        self.drawn_s *= kept
        self.hidden_s *= kept

    @property
    def hidden(self) -> float:
        work_s = self.rendered_s + self.drawn_s + self.rest_s
        return min(max(0.0, self.hidden_s / work_s), _MOST_HIDDEN) if work_s else 0.0

    @property
    def render_per_s(self) -> float:
        return self.render_s / self.audio_s if self.audio_s else 0.0

    @property
    def rest_per_s(self) -> float:
        return self.rest_s / self.audio_s if self.audio_s else 0.0
