"""Session: the script of one stream, what is still to be said and the account of what was.

Whoever has text writes lines (`say`, `flush`, `interrupt`); `perform` speaks them in order.
Both sides run on one event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

from chatterbox.account import Account, Balance
from chatterbox.audio import stitch
from chatterbox.audio.clip import Clip
from chatterbox.engine import pace
from chatterbox.engine.config import TOKEN_RATE_HZ
from chatterbox.engine.listener import Listener
from chatterbox.engine.sequence import Bookmark, Finish
from chatterbox.engine.stream import SpeechStream
from chatterbox.errors import InvalidRequest, Overloaded
from chatterbox.lines import Flushed, Note, ScriptLine, Silent, Spoken, kept, restored
from chatterbox.place import SessionPlace
from chatterbox.speech import (
    Audio,
    Delivery,
    FlushDone,
    Interrupted,
    Silence,
    SpeechEvent,
    UtteranceDone,
    Warned,
    Word,
)
from chatterbox.text.markup import AskedPause, Remark
from chatterbox.text.script import BoundaryPause, Step, Words
from chatterbox.text.segment import is_speakable

MAX_IN_FLIGHT = 2  # the utterance being heard and the one after it, so that no gap opens
MAX_PENDING_LINES = 10_000  # utterances, flushes and warnings not yet delivered
MAX_HEARD_KEPT = 100  # texts that an interrupt on another server can still call unheard
PATIENCE_S = 30.0  # how long a stream that has begun waits for a place in a full engine


class Submit(Protocol):
    """Hands the text of the stream's `index`-th utterance to the engine."""

    def __call__(
        self, text: str, index: int, listener: Listener, begun: Bookmark | None
    ) -> SpeechStream: ...


class Session:
    """One stream of speech. `submit` hands an utterance to the engine."""

    def __init__(
        self,
        submit: Submit,
        *,
        sample_rate_hz: int,
        must_speak: bool,
        delivery: Delivery | None = None,
    ) -> None:
        """With `must_speak`, a text of which no utterance can be said is an error."""
        self._submit = submit
        self._must_speak = must_speak
        self._rate = sample_rate_hz
        self._account = Account(Balance(), sample_rate_hz=sample_rate_hz)
        self._script: deque[ScriptLine] = deque()
        self._changed = asyncio.Event()
        self._is_complete = False
        self._error: Exception | None = None
        self._refusal: InvalidRequest | None = None
        self._passed: ScriptLine | None = None  # one whose only event was given
        self._is_over = False
        self._has_spoken = False  # since the last silence
        # Those heard at least in part since the last interrupt: text, and where it began.
        self._begun: list[tuple[str, int]] = []
        self._listener = Listener(delivery=delivery)  # as the engine knows whoever hears this
        self._asked_s = 0.0  # since when the consumer waits for the next event

    def _another(self, *, has_heard: bool) -> Listener:
        return Listener(has_heard=has_heard, delivery=self._listener.delivery)

    # What is to be said.

    def text_arrived(self, character_count: int) -> None:
        """Start the clock, and count what the caller sent."""
        self._account.text_arrived(character_count)

    def say(self, steps: Iterable[Step]) -> None:
        """Add steps of a text; utterances without anything to speak become warnings."""
        for step in steps:
            match step:
                case Words(text):
                    self._say(text)
                case BoundaryPause(seconds):
                    self._write(Silent(seconds, Silence.BOUNDARY, given_s=time.monotonic()))
                case AskedPause(seconds):
                    self._write(Silent(seconds, Silence.ASKED, given_s=time.monotonic()))
                case Remark(code, message):
                    self.warn(code, message)
        self._submit_ahead()

    def _say(self, text: str) -> None:
        if not is_speakable(text):
            shown = text if len(text) <= 40 else f"{text[:40]}..."
            self.warn("NOTHING_TO_SPEAK", f"{shown!r} holds nothing to speak and was skipped")
            return
        self._write(Spoken(text, self._account.segment_count, given_s=time.monotonic()))
        self._listener.unsaid_s += _expected_s(text)
        self._account.segment_count += 1

    def warn(self, code: str, message: str) -> None:
        """Add a warning, to be given in its place between the audio."""
        self._write(Note(Warned(code=code, message=message)))

    def flush(self, flush_id: str) -> None:
        """Add a mark that is acknowledged when everything before it has been heard."""
        self._write(Flushed(flush_id))

    def interrupt(self, unsaid: str, playback_offset_s: float | None) -> None:
        """Drop everything not yet delivered; `unsaid` is text that was not yet an utterance.

        The report names the text of which nothing was delivered, or, when the listener's
        position is known, nothing was heard. Flushes still pending are not acknowledged.
        """
        self.close()
        heard_to = float("inf") if playback_offset_s is None else playback_offset_s * self._rate
        unheard = [text for text, begun_at in self._begun if begun_at >= heard_to]
        spoken = [line for line in self._script if isinstance(line, Spoken)]
        unheard += [line.text for line in spoken if line.begun_at is None]
        notes = [line for line in self._script if isinstance(line, Note)]
        self._script.clear()
        self._script.extend(notes)
        self._begun.clear()
        self._account.playback.stop()
        self._listener = self._another(has_heard=self._listener.has_heard)
        dropped = " ".join(text for text in (*unheard, unsaid.strip()) if text)
        self._write(Note(Interrupted(offset_samples=self._account.offset, dropped_text=dropped)))

    def complete(self) -> None:
        """Say that no more lines will come."""
        self._is_complete = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """End the performance with `error`, at once."""
        self._error = error
        self.close()
        self._changed.set()

    def close(self) -> None:
        """Free whatever the engine still holds for this stream; harmless when called again."""
        for line in self._script:
            if isinstance(line, Spoken) and line.stream is not None:
                line.stream.cancel()

    def _write(self, line: ScriptLine) -> None:
        if len(self._script) >= MAX_PENDING_LINES:
            raise InvalidRequest("too much is waiting to be spoken", reason="TOO_MUCH_PENDING")
        self._script.append(line)
        self._changed.set()

    # Saying it.

    def submit_first(self) -> None:
        """Hand the first utterance over now; raises Overloaded before anything was promised."""
        for line in self._script:
            if isinstance(line, Spoken):
                self._hand_over(line)
                return

    def _hand_over(self, line: Spoken) -> SpeechStream:
        """Have the engine speak a line, unless it does already; raises Overloaded."""
        if line.stream is None:
            line.stream = self._submit(line.text, line.segment, self._listener, line.begun)
            self._listener.unsaid_s -= _expected_s(line.text)
        return line.stream

    async def perform(self) -> AsyncGenerator[SpeechEvent, None]:
        """Everything the script says, in order, until it is complete; the Summary is last."""
        self._asked_s = time.monotonic()
        try:
            while self._error is None:
                self._submit_ahead()
                if not self._script:
                    if self._is_complete:
                        break
                    await self._wait()
                    continue
                line = self._script[0]
                async for event in self._performed(line):
                    yield event
                    self._asked_s = time.monotonic()
                if self._script and self._script[0] is line:  # or an interrupt has cleared it
                    self._script.popleft()
            if self._error is not None:
                raise self._error
            if self._must_speak and self._refusal is not None and self._account.sequence == 0:
                raise self._refusal
            if not self._is_over:
                self._is_over = True
                yield self._account.summary()
        finally:
            self.close()

    async def _performed(self, line: ScriptLine) -> AsyncGenerator[SpeechEvent, None]:
        if not isinstance(line, Spoken):
            self._passed = line
        if isinstance(line, Flushed):
            yield FlushDone(flush_id=line.flush_id, offset_samples=self._account.offset)
            return
        if isinstance(line, Note):
            yield line.event
            return
        if isinstance(line, Silent):
            if line.kind is Silence.ASKED or self._has_spoken:
                yield self._silence(line)
            return
        stream = await self._stream_of(line)
        if stream is None:
            return
        try:
            async for clip in stream:
                words = () if stream.latest is None else stream.latest.words
                yield self._audio(line, clip, words)
        except InvalidRequest as refusal:  # the model cannot say this one; the others it may
            self._refusal = refusal
            self._insert("UTTERANCE_SKIPPED", f"utterance {line.segment}: {refusal.message}")
        else:
            self._account_for(line, stream)
            if stream.outcome is not None:
                self._passed = line
                yield UtteranceDone(line.segment)

    def _submit_ahead(self) -> None:
        """Keep up to MAX_IN_FLIGHT utterances with the engine; a full one is asked again later."""
        spoken = [line for line in self._script if isinstance(line, Spoken)]
        for line in spoken[:MAX_IN_FLIGHT]:
            try:
                self._hand_over(line)
            except Overloaded:
                return

    async def _stream_of(self, line: Spoken) -> SpeechStream | None:
        """The stream of the line whose turn it is; None if the script was cleared meanwhile.

        The first utterance is refused at once when the engine is full; a later one, promised
        with the first, waits for a place.
        """
        patience_ends_s = time.monotonic() + PATIENCE_S
        pause_s = 0.05
        while line.stream is None:
            try:
                return self._hand_over(line)
            except Overloaded:
                if self._account.offset == 0 or time.monotonic() > patience_ends_s:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.5)
                if self._error is not None or not self._script or self._script[0] is not line:
                    return None
        return line.stream

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _audio(self, line: Spoken, clip: Clip, words: tuple[Word, ...]) -> Audio:
        if line.begun_at is None:
            line.begun_at = self._account.offset
            self._has_spoken = True
            self._begun.append((line.text, line.begun_at))
        audio = Audio(
            clip=clip,
            sequence=self._account.sequence,
            offset_samples=self._account.offset,
            segment=line.segment,
            owed_since_s=max(self._asked_s, line.given_s),
            words=words,
        )
        self._account.delivered(len(clip), owed_since_s=audio.owed_since_s)
        return audio

    def _silence(self, line: Silent) -> Audio:
        coming = (later.segment for later in self._script if isinstance(later, Spoken))
        audio = Audio(
            clip=stitch.silence(self._rate, seconds=line.seconds),
            sequence=self._account.sequence,
            offset_samples=self._account.offset,
            segment=max(0, next(coming, self._account.segment_count) - 1),
            silence=line.kind,
            owed_since_s=max(self._asked_s, line.given_s),
        )
        self._has_spoken = False
        self._account.delivered(len(audio.clip), owed_since_s=audio.owed_since_s)
        return audio

    def _account_for(self, line: Spoken, stream: SpeechStream) -> None:
        outcome = stream.outcome
        if outcome is None:  # interrupted
            return
        self._account.compute_s += outcome.compute_s
        where = f"utterance {line.segment}"
        if outcome.finish in (Finish.TOO_LONG, Finish.STUCK):
            self._insert("UTTERANCE_CUT", f"{where} did not come to its end by itself and was cut")
        elif outcome.token_count == 0:
            self._insert("NOTHING_HEARD", f"{where} gave no sound")

    def _insert(self, code: str, message: str) -> None:
        """Put a warning right behind the line being performed."""
        self._script.insert(1, Note(Warned(code=code, message=message)))

    # Going on elsewhere.

    def place(self) -> SessionPlace:
        """Behind the event that `perform` has given last; to be asked before the next."""
        return SessionPlace(
            script=tuple(kept(line) for line in self._script if line is not self._passed),
            heard=tuple(self._begun[-MAX_HEARD_KEPT:]),
            is_over=self._is_over,
            balance=self._account.balance(),
        )

    def resume(self, place: SessionPlace) -> None:
        """Go on from a place of another session, before anything else is asked of this one."""
        self._account = Account(place.balance, sample_rate_hz=self._rate)
        self._is_over = place.is_over
        self._has_spoken = self._account.offset > 0
        self._begun = list(place.heard)
        self._listener = self._another(has_heard=self._account.offset > 0)
        self._listener.clock.runs_dry_s = self._account.playback.runs_dry_s
        for line in place.script:
            written = restored(line)
            if isinstance(written, Spoken):
                self._listener.unsaid_s += _expected_s(written.text)
            self._write(written)


def _expected_s(text: str) -> float:
    """About how long this text sounds."""
    return pace.usual_tokens(text) / TOKEN_RATE_HZ
