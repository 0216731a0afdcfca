"""Cloner: what a device's models hear of a recording, worked out once and kept while it is used."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Protocol

from chatterbox.audio.clip import Clip
from chatterbox.audio.decode import Decoder
from chatterbox.errors import InvalidRequest
from chatterbox.models.families import FAMILIES
from chatterbox.voices.cache import Key
from chatterbox.voices.library import VoiceLibrary, mismatch
from chatterbox.voices.recording import hear
from chatterbox.voices.rules import ReferenceRules, shortest_reference_s
from chatterbox.voices.tensors import fingerprint_of
from chatterbox.voices.voice import Voice

if TYPE_CHECKING:
    from chatterbox.models.bundle import Models
    from chatterbox.models.conditioning import Conditioning

FIELD = "reference_audio"


class LendsModels(Protocol):
    """Who owns the models of a device, such as an engine."""

    async def borrow(
        self, family: str, work: "Callable[[Models], Generator[None, None, Conditioning]]"
    ) -> "Conditioning | None":
        """Run `work` with a family's models, piece by piece; None where there are none."""


class Cloner:
    """Derives the conditioning of recordings; belongs to one event loop.

    Whoever asks for what is being worked out already waits for that. Nothing that fails is kept.
    """

    def __init__(self, voices: VoiceLibrary, device: LendsModels) -> None:
        self._voices = voices
        self._device = device
        self._decoder = Decoder()
        self._working: dict[Key, asyncio.Task[Conditioning | None]] = {}

    async def of_voice(self, voice: Voice, family: str) -> "Conditioning | None":
        """What a family hears of a voice that was made from a recording; None without models.

        Raises NotFound, InvalidRequest where the recording is too short for the family,
        CheckpointError, and what the device raises: Overloaded or EngineStopped.
        """
        if voice.reference is None or not voice.suits(family):
            raise mismatch(voice, family)

        async def clip() -> Clip:
            return await asyncio.to_thread(self._voices.reference, voice)

        return await self._once((voice.reference.fingerprint, family), clip, voice.id)

    async def of_recording(self, data: bytes, family: str) -> "Conditioning | None":
        """What a family hears of a file that was sent along; raises as `hear` and `of_voice`."""

        async def clip() -> Clip:
            heard = (await hear(data, self._decoder, field=FIELD)).clip
            if heard.duration_s <= shortest_reference_s(family):
                raise InvalidRequest(
                    f"the model {family!r} wants a recording of more than "
                    f"{shortest_reference_s(family):g} s, this one has {heard.duration_s:.2f} s",
                    field=FIELD,
                    reason="TOO_SHORT",
                )
            return heard

        return await self._once((fingerprint_of(data), family), clip, None)

    async def _once(
        self, key: Key, clip: Callable[[], Awaitable[Clip]], voice_id: str | None
    ) -> "Conditioning | None":
        kept = self._voices.cache.recall(key)
        if kept is not None:
            return kept
        task = self._working.get(key)
        if task is None:
            task = self._working[key] = asyncio.create_task(self._derive(key, clip, voice_id))
            task.add_done_callback(lambda done: self._is_done(key, done))
        # Whoever leaves must not take the work from the others who wait for it.
        return await asyncio.shield(task)

    async def _derive(
        self, key: Key, clip: Callable[[], Awaitable[Clip]], voice_id: str | None
    ) -> "Conditioning | None":
        heard, (_, family) = await clip(), key

        def work(models: "Models") -> "Generator[None, None, Conditioning]":
            from chatterbox.voices.cloning import clone_in_pieces

            rules = ReferenceRules.of(FAMILIES[family])
            return clone_in_pieces(
                heard, rules, voice_encoder=models.voice_encoder, s3gen=models.s3gen
            )

        conditioning = await self._device.borrow(family, work)
        if conditioning is not None:
            self._voices.cache.keep(key, conditioning, voice_id=voice_id)
        return conditioning

    def _is_done(self, key: Key, task: "asyncio.Task[Conditioning | None]") -> None:
        del self._working[key]
        if not task.cancelled():
            task.exception()  # seen, even if everybody has left
