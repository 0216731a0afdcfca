"""What models hear of a recording: worked out once, for everybody who waits, and then kept."""

import asyncio
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.model_device import model_engine
from chatterbox.errors import CheckpointError, EngineStopped, InvalidRequest, NotFound
from chatterbox.models.conditioning import Conditioning
from chatterbox.speech import Audio, Sampling, SpeechConfig, Started, Summary
from chatterbox.synthesis import Synthesizer
from chatterbox.voices.cache import ConditioningCache
from chatterbox.voices.cloner import Cloner
from chatterbox.voices.folder_store import FolderStore
from chatterbox.voices.library import VoiceLibrary
from chatterbox.voices.recording import assess
from chatterbox.voices.store import CONDITIONING, REFERENCE
from chatterbox.voices.voice import Voice

Work = Callable[[Any], Generator[None, None, Conditioning]]


class Lender:
    """Counts what is borrowed of the engine behind it; may refuse."""

    def __init__(self, engine: DeviceEngine) -> None:
        self.engine = engine
        self.count = 0
        self.is_stopped = False

    async def borrow(self, family: str, work: Work) -> Conditioning | None:
        self.count += 1
        if self.is_stopped:
            raise EngineStopped("the engine has stopped")
        return await self.engine.borrow(family, work)


@pytest.fixture(scope="module")
def engine() -> Iterator[DeviceEngine]:
    """The bundled models, for the loop of whichever test asks."""
    started = model_engine("tiny", config=EngineConfig(slots=4))
    asyncio.run(started.start())
    yield started
    asyncio.run(started.stop())


@pytest.fixture
def library(tmp_path: Path, speech: Any) -> VoiceLibrary:
    """Ada and Ben, and Mia, who sounds like the recording of the tests: Ada's."""
    library = VoiceLibrary(store=FolderStore(tmp_path))
    recording = assess(speech)
    voice = Voice(id="mia", display_name="Mia", reference=recording.reference)
    library.add(voice, {REFERENCE: recording.content})
    return library


async def test_a_voice_is_heard_once_and_kept(engine: DeviceEngine, library: VoiceLibrary) -> None:
    lender = Lender(engine)
    cloner = Cloner(library, lender)
    voice = library.get("mia")
    several = await asyncio.gather(*(cloner.of_voice(voice, "tiny") for _ in range(3)))

    assert lender.count == 1
    assert several[0] is several[1] is several[2]
    assert await cloner.of_voice(voice, "tiny") is several[0]
    assert lender.count == 1
    assert library.resident() == ("mia",)


async def test_who_is_copied_is_recognised(engine: DeviceEngine, library: VoiceLibrary) -> None:
    """By the VoiceEncoder: nearer to the one of the two who speaks in the recording."""
    found = await Cloner(library, engine).of_voice(library.get("mia"), "tiny")
    assert found is not None
    ada, ben = (library.conditioning(name, "tiny").t3.speaker_embedding for name in ("ada", "ben"))
    mine = found.t3.speaker_embedding
    assert torch.cosine_similarity(mine, ada) > torch.cosine_similarity(mine, ben) + 0.1


async def test_a_file_that_was_sent_along_is_heard_once(
    engine: DeviceEngine, library: VoiceLibrary, recording: bytes
) -> None:
    lender = Lender(engine)
    cloner = Cloner(library, lender)
    first = await cloner.of_recording(recording, "tiny")
    assert await cloner.of_recording(recording, "tiny") is first
    assert lender.count == 1
    assert library.resident() == ()  # it has no name


async def test_what_fails_is_not_kept(engine: DeviceEngine, library: VoiceLibrary) -> None:
    lender = Lender(engine)
    lender.is_stopped = True
    cloner = Cloner(library, lender)
    voice = library.get("mia")
    for _ in range(2):
        with pytest.raises(EngineStopped):
            await cloner.of_voice(voice, "tiny")
    lender.is_stopped = False
    assert await cloner.of_voice(voice, "tiny") is not None
    assert lender.count == 3


async def test_who_leaves_does_not_take_it_from_the_others(
    engine: DeviceEngine, library: VoiceLibrary
) -> None:
    cloner = Cloner(library, engine)
    leaving, staying = (
        asyncio.create_task(cloner.of_voice(library.get("mia"), "tiny")) for _ in range(2)
    )
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying is not None


async def test_what_cannot_be_heard_is_told(engine: DeviceEngine, library: VoiceLibrary) -> None:
    cloner = Cloner(library, engine)
    mia = library.get("mia")
    assert mia.reference is not None
    short = replace(mia.reference, quality=replace(mia.reference.quality, duration_s=4.0))
    with pytest.raises(InvalidRequest, match="turbo"):
        await cloner.of_voice(replace(mia, reference=short), "turbo")
    library.delete("mia")
    with pytest.raises(NotFound):
        await cloner.of_voice(mia, "tiny")


async def test_a_copy_speaks_and_one_seed_gives_one_speech(
    engine: DeviceEngine, library: VoiceLibrary, recording: bytes
) -> None:
    synthesizer = Synthesizer(engine=engine, voices=library)

    async def said(**fields: Any) -> list[float]:
        config = SpeechConfig(sampling=Sampling(seed=3), **fields)
        events = [event async for event in synthesizer.speak(config, "Nobody was at home.")]
        assert isinstance(events[-1], Summary)
        clips = [event.clip.samples for event in events if isinstance(event, Audio)]
        return [float(sample) for clip in clips for sample in clip]

    mine = await said(voice="mia")
    assert 0.5 < len(mine) / 24_000 < 5
    assert await said(voice="mia") == mine
    assert await said(voice="ada") != mine
    inline = await said(reference_audio=recording)
    assert 0.5 < len(inline) / 24_000 < 5


@pytest.mark.parametrize("voice_id", ["mia", "eve"])
async def test_who_speaks_goes_on_when_the_voice_is_deleted(
    engine: DeviceEngine, library: VoiceLibrary, voice_id: str
) -> None:
    """Mia is a recording; Eve is what the models hear of Ada, kept under another name."""
    files = {"conditioning.tiny.safetensors": library.files("ada")[CONDITIONING]}
    library.add(Voice(id="eve", display_name="Eve", families=("tiny",)), files)
    sentences = [f"This is sentence number {number} of a longer text." for number in range(1, 9)]
    synthesizer = Synthesizer(engine=engine, voices=library)
    speech = synthesizer.speak(SpeechConfig(voice=voice_id), " ".join(sentences))
    events = []
    async for event in speech:
        if isinstance(event, Audio) and voice_id in [voice.id for voice in library.list()]:
            library.delete(voice_id)
        events.append(event)
    summary = events[-1]
    assert isinstance(summary, Summary)
    assert summary.segment_count > 2  # more than were under way by then
    with pytest.raises(NotFound):
        await anext(synthesizer.speak(SpeechConfig(voice=voice_id), "Hello."))


async def test_a_copy_that_cannot_be_read_fails_its_own_stream_alone(
    engine: DeviceEngine, library: VoiceLibrary
) -> None:
    mia = library.get("mia")
    library.add(replace(mia, id="broken"), {REFERENCE: b"no tensors here"})
    synthesizer = Synthesizer(engine=engine, voices=library)
    library.cache = ConditioningCache()  # the recording itself is known by its fingerprint
    with pytest.raises(CheckpointError):
        await anext(synthesizer.speak(SpeechConfig(voice="broken"), "Hello."))
    started = await anext(synthesizer.speak(SpeechConfig(voice="mia"), "Hello."))
    assert isinstance(started, Started)
