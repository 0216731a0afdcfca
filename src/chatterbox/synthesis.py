"""Synthesizer: text and settings in, speech events out. The one object `server` holds."""

import asyncio
import contextlib
import functools
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from chatterbox.engine.listener import Listener
from chatterbox.engine.protocol import Engine, FamilyInfo
from chatterbox.engine.sequence import Bookmark, Utterance
from chatterbox.engine.stream import SpeechStream
from chatterbox.errors import InvalidRequest, NotFound
from chatterbox.place import Journal, SpeechPlace
from chatterbox.session import Session
from chatterbox.speech import (
    MAX_TEXT_CHARACTERS,
    Delivery,
    Flush,
    Interrupt,
    Sampling,
    SpeechConfig,
    SpeechEvent,
    SpeechInput,
    Started,
    TextFragment,
)
from chatterbox.text.pronunciation import Lexicon
from chatterbox.text.script import LiveScript, Step, Wording, has_lines, script_of
from chatterbox.voices.cloner import Cloner
from chatterbox.voices.library import VoiceLibrary, mismatch
from chatterbox.voices.voice import Voice

if TYPE_CHECKING:
    from chatterbox.models.conditioning import Conditioning

_SEED_STEP = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: neighbours get distant seeds
_SEED_MASK = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """A config with every choice made."""

    family: FamilyInfo
    voice: Voice
    language: str
    sampling: Sampling  # with its seed
    seed: int
    ignored: tuple[str, ...]  # parameters the caller set and the family does not know
    hear: "Callable[[], Conditioning] | None" = None  # what the models hear of the voice
    wording: Wording
    word_timings: bool  # wanted, whether the family can or not
    delivery: Delivery


class Synthesizer:
    """Speaks text with an engine and the voices of a library."""

    def __init__(self, *, engine: Engine, voices: VoiceLibrary) -> None:
        self.engine = engine
        self.voices = voices
        self._cloner = Cloner(voices, engine)

    async def speak(
        self,
        config: SpeechConfig,
        text: str,
        *,
        journal: Journal | None = None,
        begun: SpeechPlace | None = None,
    ) -> AsyncGenerator[SpeechEvent, None]:
        """Speak a complete text: Started, Audio..., Summary, with warnings between.

        A `journal` can tell after each event how to go on behind it; another synthesizer that
        is given the same and that place, `begun`, gives all that follows, without Started.

        Raises InvalidRequest, NotFound, Overloaded or EngineStopped before Started, and
        EngineStopped or CheckpointError after it. Closing the generator frees the engine.
        """
        check_text(text)
        cast = await self._listen(self._cast(config, begun), config)
        steps = _steps(text, cast.wording) if begun is None else []
        session = self._session(cast, must_speak=True, marked=journal is not None, begun=begun)
        if journal is not None:
            journal.keep(lambda: _place(cast, session))
        if begun is None:
            session.text_arrived(len(text))
            session.say(steps)
        session.complete()
        try:
            session.submit_first()
            if begun is None:
                yield _started(cast)
            async with contextlib.aclosing(session.perform()) as events:
                async for event in events:
                    yield event
        finally:
            session.close()

    async def speak_live(
        self,
        config: SpeechConfig,
        inputs: AsyncIterator[SpeechInput],
        *,
        journal: Journal | None = None,
        begun: SpeechPlace | None = None,
    ) -> AsyncGenerator[SpeechEvent, None]:
        """Speak text while it arrives; ends when `inputs` ends and all of it was spoken.

        As `speak`; when it goes on from `begun`, `inputs` are those behind the `inputs_taken`
        there. FlushDone and Interrupted answer the inputs of that kind. A refusal
        that depends on the text (its size, a full engine) comes when that text does. An error
        raised by `inputs` ends the stream with that error.
        """
        cast = await self._listen(self._cast(config, begun), config)
        session = self._session(cast, must_speak=False, marked=journal is not None, begun=begun)
        listener = _Listener(session, cast.wording, config.max_buffer_delay_s, begun)
        if journal is not None:
            journal.keep(lambda: listener.place(_place(cast, session)))
        if begun is None:
            yield _started(cast)
        listening = asyncio.create_task(listener.run(inputs))
        try:
            async with contextlib.aclosing(session.perform()) as events:
                async for event in events:
                    yield event
        finally:
            session.close()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    def _cast(self, config: SpeechConfig, begun: SpeechPlace | None) -> _Cast:
        if begun is not None:  # as they were chosen, whatever the defaults are here
            sampling = replace(config.sampling, seed=begun.seed)
            config = replace(config, model=begun.model, voice=begun.voice, sampling=sampling)
        families = self.engine.families
        family_id = config.model or next(iter(families))
        if family_id not in families:
            raise NotFound(
                f"there is no model {family_id[:80]!r}", resource=f"models/{family_id[:80]}"
            )
        family = families[family_id]
        if config.reference_audio is not None:
            voice = Voice(id="", display_name="", families=(family.id,))
        elif config.voice is None:
            voice = self.voices.default_for(family.id)
        else:
            voice = self.voices.get(config.voice)
        if not voice.suits(family.id):
            raise mismatch(voice, family.id)
        seed = secrets.randbelow(2**63) if config.sampling.seed is None else config.sampling.seed
        language = _language(config.language, voice, family)
        return _Cast(
            family=family,
            voice=voice,
            language=language,
            sampling=replace(config.sampling, seed=seed),
            seed=seed,
            ignored=tuple(
                parameter.name
                for parameter in fields(Sampling)
                if parameter.name != "seed"
                and getattr(config.sampling, parameter.name) is not None
                and parameter.name not in family.parameters
            ),
            wording=Wording(
                language=language, tags=family.tags, lexicon=Lexicon(config.pronunciations)
            ),
            word_timings=config.word_timings,
            delivery=config.delivery,
        )

    async def _listen(self, cast: _Cast, config: SpeechConfig) -> _Cast:
        """The cast when its voice was heard, which takes a moment if a recording is new here."""
        voice, family_id, heard = cast.voice, cast.family.id, None
        if config.reference_audio is not None:
            heard = await self._cloner.of_recording(config.reference_audio, family_id)
        elif family_id not in voice.families:
            heard = await self._cloner.of_voice(voice, family_id)
        if heard is not None:
            return replace(cast, hear=lambda: heard)
        # Once for all that is said: the voice may be deleted meanwhile.
        stored = functools.cache(lambda: self.voices.conditioning(voice.id, family_id))
        return replace(cast, hear=stored)

    def _session(
        self, cast: _Cast, *, must_speak: bool, marked: bool, begun: SpeechPlace | None
    ) -> Session:
        def submit(
            text: str, index: int, listener: Listener, begun: Bookmark | None
        ) -> SpeechStream:
            utterance = self._utterance(cast, text, index, listener)
            return self.engine.submit(replace(utterance, marked=marked, begun=begun))

        session = Session(
            submit,
            sample_rate_hz=cast.family.sample_rate_hz,
            must_speak=must_speak,
            delivery=cast.delivery,
        )
        if begun is not None:
            session.resume(begun.session)
            return session
        for name in cast.ignored:
            session.warn("PARAMETER_IGNORED", f"the model {cast.family.id!r} has no {name}")
        if cast.word_timings and not cast.family.times_words:
            cannot = f"the model {cast.family.id!r} cannot tell when words are said"
            session.warn("WORD_TIMINGS_UNAVAILABLE", cannot)
        return session

    def _utterance(self, cast: _Cast, text: str, index: int, listener: Listener) -> Utterance:
        assert cast.hear is not None, "nobody speaks before the voice was heard"
        seed = (cast.seed ^ (index * _SEED_STEP)) & _SEED_MASK
        return Utterance(
            text=text,
            family=cast.family.id,
            voice=cast.voice.id,
            language=cast.language,
            sampling=replace(cast.sampling, seed=seed),
            conditioning=cast.hear,
            listener=listener,
            timed=cast.word_timings and cast.family.times_words,
        )


class _Listener:
    """Turns what comes in into lines of the session's script, and keeps the buffer's clock."""

    def __init__(
        self,
        session: Session,
        wording: Wording,
        max_buffer_delay_s: float,
        begun: SpeechPlace | None,
    ) -> None:
        self._session = session
        self._script = LiveScript(
            wording,
            unsaid=begun.pending_text if begun else "",
            said=begun.said_text if begun else "",
        )
        self._max_delay_s = max_buffer_delay_s
        self._input_count = begun.inputs_taken if begun else 0
        self._character_count = begun.characters_taken if begun else 0
        self._buffered_since_s = time.monotonic()

    def place(self, spoken: SpeechPlace) -> SpeechPlace:
        """The place of the session, with what was taken in."""
        return replace(
            spoken,
            inputs_taken=self._input_count,
            characters_taken=self._character_count,
            pending_text=self._script.unsaid,
            said_text=self._script.said,
        )

    async def run(self, inputs: AsyncIterator[SpeechInput]) -> None:
        """Listen until the inputs end or fail; the session is told which."""
        try:
            await self._listen(inputs)
        except Exception as error:  # whatever it is belongs to whoever consumes the session
            self._session.fail(error)
        else:
            self._session.say(self._script.flush())
            self._session.complete()

    async def _listen(self, inputs: AsyncIterator[SpeechInput]) -> None:
        # A pending read is kept over timeouts: cancelling it could lose an input.
        reading: asyncio.Task[SpeechInput | None] | None = None
        try:
            while True:
                reading = reading or asyncio.create_task(_next_input(inputs))
                await asyncio.wait({reading}, timeout=self._time_left_s())
                if reading.done():
                    given, reading = reading.result(), None
                    if given is None:
                        return
                    self._take(given)
                else:
                    self._say(self._script.overdue())
                    self._buffered_since_s = time.monotonic()
        finally:
            if reading is not None:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await reading

    def _time_left_s(self) -> float | None:
        if not self._script.pending.strip():
            return None
        return max(0.0, self._buffered_since_s + self._max_delay_s - time.monotonic())

    def _take(self, given: SpeechInput) -> None:
        self._input_count += 1
        if isinstance(given, TextFragment):
            self._take_text(given.text)
        elif isinstance(given, Flush):
            self._session.say(self._script.flush())
            self._session.flush(given.flush_id)
        else:
            assert isinstance(given, Interrupt)
            self._session.interrupt(self._script.drop(), given.playback_offset_s)

    def _take_text(self, text: str) -> None:
        self._character_count += len(text)
        if self._character_count > MAX_TEXT_CHARACTERS:
            raise _too_long(self._character_count)
        _check_encodable(text)
        self._session.text_arrived(len(text))
        had_text = bool(self._script.pending.strip())
        ready = self._script.push(text)
        if ready or not had_text:
            self._buffered_since_s = time.monotonic()
        self._say(ready)

    def _say(self, steps: list[Step]) -> None:
        if steps:
            self._session.say(steps)


async def _next_input(inputs: AsyncIterator[SpeechInput]) -> SpeechInput | None:
    return await anext(inputs, None)


def check_text(text: str) -> None:
    """Raise InvalidRequest for a complete text that cannot be spoken."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise _too_long(len(text))
    _check_encodable(text)


def _steps(text: str, wording: Wording) -> list[Step]:
    steps = script_of(text, wording)
    if not has_lines(steps):
        raise InvalidRequest(
            "the text holds nothing to speak: no letter and no digit",
            field="input.text",
            reason="NOTHING_TO_SPEAK",
        )
    return steps


def _too_long(count: int) -> InvalidRequest:
    return InvalidRequest(
        f"the text has {count} characters, at most {MAX_TEXT_CHARACTERS} are spoken",
        field="input.text",
        reason="TEXT_TOO_LONG",
    )


def _check_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"the text is not valid Unicode at character {error.start}",
            field="input.text",
            reason="INVALID_TEXT",
        ) from error


def _language(asked: str | None, voice: Voice, family: FamilyInfo) -> str:
    """The family's own tag for the language asked for, or else the voice's."""
    by_tag = {tag.lower(): tag for tag in family.languages}
    wanted = asked or voice.language
    for tag in (wanted.lower(), wanted.lower().split("-")[0]):
        if tag in by_tag:
            return by_tag[tag]
    if asked is not None:
        raise InvalidRequest(
            f"the model {family.id!r} speaks {', '.join(family.languages)}, not {asked[:40]!r}",
            field="language",
            reason="LANGUAGE_UNSUPPORTED",
        )
    return family.languages[0]


def _place(cast: _Cast, session: Session) -> SpeechPlace:
    return SpeechPlace(
        model=cast.family.id, voice=cast.voice.id, seed=cast.seed, session=session.place()
    )


def _started(cast: _Cast) -> Started:
    return Started(
        model=cast.family.id,
        voice=cast.voice.id,
        sample_rate_hz=cast.family.sample_rate_hz,
        seed=cast.seed,
    )
