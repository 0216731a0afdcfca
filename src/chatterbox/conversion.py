"""Converter: speech and a voice in, the same speech in that voice out, while it arrives.

What a conversion wants of the device is lent to it stretch by stretch (`Engine.borrow`), so that
conversions take turns and speaking goes first. Nothing is read from a source while a stretch of it
is being converted: whoever sends faster has to wait, and hours take no more memory than seconds.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import soxr

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode_stream import Damage
from chatterbox.audio.stretches import LISTENING_HZ, Stretch, StretchCutter
from chatterbox.engine.protocol import Engine, FamilyInfo
from chatterbox.errors import InvalidRequest, NotFound, Overloaded
from chatterbox.speech import Audio, Started, Warned
from chatterbox.voices.cloner import Cloner
from chatterbox.voices.library import VoiceLibrary, mismatch
from chatterbox.voices.voice import Voice

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models
    from chatterbox.models.conditioning import Conditioning

T = TypeVar("T")

MAX_CONVERSIONS = 8  # at once; the engine takes twice as many errands
MAX_SOURCE_S = 24 * 3600.0
RETRY_AFTER_S = 5.0
_AGAIN_S = 0.1  # between two tries to get the device


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionConfig:
    """What is to be done with a source. None is the server's choice."""

    voice: str | None = None
    model: str | None = None
    reference_audio: bytes | None = None  # a recording in place of `voice`
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """All of the source was converted. Seconds count from the source's first sound."""

    source_s: float
    time_to_first_audio_s: float
    conversion_duration_s: float
    compute_duration_s: float


ConversionEvent = Started | Audio | Warned | Converted
Source = AsyncIterator[Clip | Damage]


class Converter:
    """Converts with an engine's models and the voices of a library. Belongs to one event loop."""

    def __init__(self, *, engine: Engine, voices: VoiceLibrary) -> None:
        self._engine = engine
        self._voices = voices
        self._cloner = Cloner(voices, engine)
        self._count = 0

    @property
    def active(self) -> int:
        """Conversions that go on now."""
        return self._count

    async def convert(
        self, config: ConversionConfig, source: Source, *, max_source_s: float = MAX_SOURCE_S
    ) -> AsyncGenerator[ConversionEvent, None]:
        """Started, Audio..., Converted, with warnings between.

        Raises InvalidRequest, NotFound, Overloaded or EngineStopped before Started; after it
        InvalidRequest for a source that is no speech or longer than `max_source_s`, EngineStopped,
        and what `source` raises. Closing the generator frees the device within one piece of work.
        """
        with self._place():
            family, voice = self._cast(config)
            conditioning = await self._conditioning(config, family, voice)
            seed = secrets.randbelow(2**63) if config.seed is None else config.seed
            changer = await self._changer(family, conditioning, seed)
            yield Started(
                model=family.id, voice=voice.id, sample_rate_hz=family.sample_rate_hz, seed=seed
            )
            conversion = _Conversion(changer, lambda work: self._lend(family, work))
            async for each in source:
                if isinstance(each, Damage):
                    yield Warned(
                        code="SOURCE_DAMAGED", message="the source is damaged or incomplete"
                    )
                    break
                async for audio in conversion.take(each, max_source_s):
                    yield audio
            async for audio in conversion.finish():
                yield audio
            yield conversion.summary()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._count >= MAX_CONVERSIONS:
            raise Overloaded(
                f"{MAX_CONVERSIONS} conversions go on already", retry_after_s=RETRY_AFTER_S
            )
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    def _cast(self, config: ConversionConfig) -> tuple[FamilyInfo, Voice]:
        families = self._engine.families
        family_id = config.model or next(iter(families))
        if family_id not in families:
            raise NotFound(f"there is no model {family_id!r}", resource=f"models/{family_id}")
        if config.reference_audio is not None:
            voice = Voice(id="", display_name="", families=(family_id,))
        elif config.voice is None:
            voice = self._voices.default_for(family_id)
        else:
            voice = self._voices.get(config.voice)
        if not voice.suits(family_id):
            raise mismatch(voice, family_id)
        return families[family_id], voice

    async def _conditioning(
        self, config: ConversionConfig, family: FamilyInfo, voice: Voice
    ) -> "Callable[[], Conditioning | None]":
        """What yields it on the device's thread, where files are read."""
        if config.reference_audio is not None:
            heard = await self._cloner.of_recording(config.reference_audio, family.id)
        elif family.id not in voice.families:
            heard = await self._cloner.of_voice(voice, family.id)
        else:
            return lambda: self._voices.conditioning(voice.id, family.id)
        return lambda: heard

    async def _changer(
        self, family: FamilyInfo, conditioning: "Callable[[], Conditioning | None]", seed: int
    ) -> "Changer":
        def begin(models: "Models") -> "Generator[None, None, Changer]":
            from chatterbox.engine.voice_changer import VoiceChanger  # where there is torch

            voice = conditioning()
            assert voice is not None, "where there are models, recordings are heard"
            yield
            return VoiceChanger(models, voice, seed=seed)

        changer = await self._engine.borrow(family.id, begin)
        return changer or _Echo(family.sample_rate_hz)

    async def _lend(
        self, family: FamilyInfo, work: "Callable[[Models], Generator[None, None, T]]"
    ) -> T | None:
        """The device, however many others want it: a conversion that has begun is not refused."""
        while True:
            try:
                return await self._engine.borrow(family.id, work)
            except Overloaded:
                await asyncio.sleep(_AGAIN_S)


class Changer(Protocol):
    """Changes the voice of one source."""

    def change(self, stretch: Stretch) -> Generator[None, None, Clip]:
        """The next stretch; it stops where something else may be done in between."""


class _Echo:
    """The source as it is: what an engine without models converts to, as it speaks in tones."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._resampler = soxr.ResampleStream(LISTENING_HZ, sample_rate_hz, 1, dtype="float32")

    def change(self, stretch: Stretch) -> Generator[None, None, Clip]:
        """The sound of the stretch at the engine's rate."""
        yield
        samples = self._resampler.resample_chunk(stretch.own, last=stretch.is_last)
        return Clip(np.ascontiguousarray(samples, np.float32), self._rate)


class _Conversion:
    """One source, as far as it has come."""

    def __init__(self, changer: Changer, lend: Callable[[Any], Any]) -> None:
        self._changer = changer
        self._lend = lend
        self._cutter: StretchCutter | None = None
        self._sequence = 0
        self._samples = 0
        self._compute_s = 0.0
        self._began_s = time.monotonic()
        self._first_s: float | None = None

    async def take(self, clip: Clip, max_source_s: float) -> AsyncGenerator[Audio, None]:
        """What becomes of the next sound."""
        if self._cutter is None:
            self._began_s = time.monotonic()
            self._cutter = StretchCutter(clip.sample_rate_hz)
        stretches = self._cutter.push(clip)
        if self._cutter.taken_s > max_source_s:
            raise InvalidRequest(
                f"at most {max_source_s / 3600:g} h of sound are converted at once",
                field="audio",
                reason="TOO_LONG",
            )
        for stretch in stretches:
            yield await self._change(stretch)

    async def finish(self) -> AsyncGenerator[Audio, None]:
        """What becomes of the rest."""
        for stretch in (self._cutter or StretchCutter(LISTENING_HZ)).finish():
            yield await self._change(stretch)

    def summary(self) -> Converted:
        """What it amounted to."""
        assert self._cutter is not None, "a source without sound was refused"
        return Converted(
            source_s=self._cutter.taken_s,
            time_to_first_audio_s=(self._first_s or self._began_s) - self._began_s,
            conversion_duration_s=time.monotonic() - self._began_s,
            compute_duration_s=self._compute_s,
        )

    async def _change(self, stretch: Stretch) -> Audio:
        changed = await self._lend(lambda _: self._timed(self._changer.change(stretch)))
        if changed is None:  # no models were lent
            changed = _result(self._changer.change(stretch))
        self._first_s = self._first_s or time.monotonic()
        audio = Audio(
            clip=changed, sequence=self._sequence, offset_samples=self._samples, segment=0
        )
        self._sequence += 1
        self._samples += len(changed)
        return audio

    def _timed(self, work: Generator[None, None, T]) -> Generator[None, None, T]:
        while True:
            began_s = time.monotonic()
            try:
                next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._compute_s += time.monotonic() - began_s
            yield


def _result(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
