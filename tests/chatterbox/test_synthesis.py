"""The synthesizer, on tones: what a stream of speech promises."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chatterbox.engine.config import EngineConfig
from chatterbox.engine.engine import DeviceEngine
from chatterbox.engine.protocol import FamilyInfo
from chatterbox.engine.sequence import Sequence
from chatterbox.engine.tone import TONE_FAMILY, ToneDevice, ToneEngine
from chatterbox.errors import EngineStopped, InvalidRequest, NotFound, Overloaded
from chatterbox.speech import (
    MAX_TEXT_CHARACTERS,
    Audio,
    Flush,
    FlushDone,
    Interrupt,
    Interrupted,
    Pronunciation,
    Sampling,
    Silence,
    SpeechConfig,
    SpeechEvent,
    SpeechInput,
    Started,
    Summary,
    TextFragment,
    UtteranceDone,
    Warned,
)
from chatterbox.synthesis import Synthesizer
from chatterbox.text.script import Boundary
from chatterbox.voices.library import VoiceLibrary

ENGLISH = replace(TONE_FAMILY, id="english", languages=("en",))
SEEDED = SpeechConfig(sampling=Sampling(seed=3))
LONG = "This is a sentence of the long text that is spoken here. " * 20


@pytest.fixture
def voices(tmp_path: Path) -> VoiceLibrary:
    for voice_id, family, language in [
        ("ada", "tone", "en-GB"),
        ("ben", "tone", "en"),
        ("carl", "english", "en"),
        ("dora", "tone", "de"),
    ]:
        (tmp_path / voice_id).mkdir()
        facts = {"display_name": voice_id, "language": language, "families": [family]}
        (tmp_path / voice_id / "voice.json").write_text(json.dumps(facts))
    return VoiceLibrary([tmp_path])


@asynccontextmanager
async def synthesizer(
    voices: VoiceLibrary,
    config: EngineConfig | None = None,
    *,
    families: tuple[FamilyInfo, ...] = (TONE_FAMILY, ENGLISH),
    seconds_per_token: float = 0.0,
) -> AsyncIterator[Synthesizer]:
    engine = ToneEngine(config, families=families, seconds_per_token=seconds_per_token)
    await engine.start()
    try:
        yield Synthesizer(engine=engine, voices=voices)
    finally:
        await engine.stop()


async def all_of(events: AsyncIterator[SpeechEvent]) -> list[SpeechEvent]:
    async with asyncio.timeout(20):
        return [event async for event in events]


async def given(*inputs: SpeechInput | float) -> AsyncIterator[SpeechInput]:
    """The inputs one after the other; a number is a pause in seconds."""
    for item in inputs:
        if isinstance(item, float):
            await asyncio.sleep(item)
        else:
            yield item


def audio_of(events: list[SpeechEvent]) -> list[Audio]:
    return [event for event in events if isinstance(event, Audio)]


def assert_whole(events: list[SpeechEvent]) -> None:
    """Started first, Summary last, sequence and offsets without gaps."""
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Summary)
    offset = 0
    for place, audio in enumerate(audio_of(events)):
        assert (audio.sequence, audio.offset_samples) == (place, offset)
        offset += len(audio.clip)
    assert events[-1].audio_duration_s == pytest.approx(offset / 24_000)


def spoken_samples(*texts: str) -> int:
    """How long these utterances sound, gaps included."""
    spoken = sum(960 * ToneDevice.token_count(text) for text in texts)
    return spoken + round(Boundary.SENTENCE.value * 24_000) * (len(texts) - 1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another thread's doing
            await asyncio.sleep(0.002)


async def test_a_text_becomes_started_audio_and_a_summary(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = await all_of(tts.speak(SEEDED, "Hello there, how are you?"))
    assert_whole(events)
    assert events[0] == Started(model="tone", voice="ada", sample_rate_hz=24_000, seed=3)
    summary = events[-1]
    assert isinstance(summary, Summary)
    assert (summary.character_count, summary.segment_count) == (25, 1)
    assert 0 < summary.time_to_first_audio_s <= summary.synthesis_duration_s
    assert summary.compute_duration_s > 0
    assert summary.real_time_factor == pytest.approx(
        summary.synthesis_duration_s / summary.audio_duration_s
    )


async def test_a_long_text_is_spoken_in_order_without_gaps(voices: VoiceLibrary) -> None:
    async with synthesizer(voices, EngineConfig(slots=2, max_waiting=0)) as tts:
        events = await all_of(tts.speak(SEEDED, LONG))
        assert tts.engine.active_count == 0
    assert_whole(events)
    segments = [audio.segment for audio in audio_of(events)]
    assert segments == sorted(segments)
    assert set(segments) == set(range(20))


async def test_the_same_request_and_seed_give_the_same_samples(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        first, second, other = await asyncio.gather(
            all_of(tts.speak(SEEDED, LONG)),
            all_of(tts.speak(SEEDED, LONG)),
            all_of(tts.speak(SpeechConfig(sampling=Sampling(seed=4)), LONG)),
        )
    samples = [
        np.concatenate([audio.clip.samples for audio in audio_of(events)])
        for events in (first, second, other)
    ]
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.array_equal(samples[0], samples[2])


async def test_without_a_seed_one_is_drawn_and_told(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        seeds = set()
        for _ in range(2):
            started = (await all_of(tts.speak(SpeechConfig(), "Hello.")))[0]
            assert isinstance(started, Started)
            seeds.add(started.seed)
    assert len(seeds) == 2


@pytest.mark.parametrize("text", ["", "   \n", "...!?", "\U0001f600", "\ud800 abc"])
async def test_what_cannot_be_spoken_is_refused(voices: VoiceLibrary, text: str) -> None:
    async with synthesizer(voices) as tts:
        with pytest.raises(InvalidRequest) as refusal:
            await all_of(tts.speak(SpeechConfig(), text))
    assert refusal.value.field == "input.text"


async def test_a_text_beyond_the_bound_is_refused(voices: VoiceLibrary) -> None:
    text = "a" * (MAX_TEXT_CHARACTERS + 1)
    async with synthesizer(voices) as tts:
        with pytest.raises(InvalidRequest) as refusal:
            await all_of(tts.speak(SpeechConfig(), text))
        assert refusal.value.field == "input.text"
        halves = given(TextFragment(text[: len(text) // 2]), TextFragment(text[len(text) // 2 :]))
        with pytest.raises(InvalidRequest):
            await all_of(tts.speak_live(SpeechConfig(), halves))
        await until(lambda: tts.engine.active_count == 0)


@pytest.mark.parametrize(
    ("config", "resource"),
    [
        (SpeechConfig(voice="nobody"), "voices/nobody"),
        (SpeechConfig(model="nothing"), "models/nothing"),
    ],
)
async def test_an_unknown_voice_or_model_is_not_found(
    voices: VoiceLibrary, config: SpeechConfig, resource: str
) -> None:
    async with synthesizer(voices) as tts:
        for events in (tts.speak(config, "Hello."), tts.speak_live(config, given())):
            with pytest.raises(NotFound) as refusal:
                await all_of(events)
            assert refusal.value.resource == resource


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (SpeechConfig(voice="carl", model="tone"), "voice"),
        (SpeechConfig(voice="../ada"), "voice"),
        (SpeechConfig(language="fr"), "language"),
    ],
)
async def test_choices_that_do_not_fit_together_are_refused(
    voices: VoiceLibrary, config: SpeechConfig, field: str
) -> None:
    async with synthesizer(voices) as tts:
        with pytest.raises(InvalidRequest) as refusal:
            await all_of(tts.speak(config, "Hello."))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "config",
    [SpeechConfig(language="en-US"), SpeechConfig(voice="dora"), SpeechConfig(language="EN")],
)
async def test_a_language_is_matched_by_its_primary_part(
    voices: VoiceLibrary, config: SpeechConfig
) -> None:
    async with synthesizer(voices) as tts:
        assert_whole(await all_of(tts.speak(config, "Hello.")))


async def test_a_voice_is_chosen_that_suits_the_model(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = await all_of(tts.speak(SpeechConfig(model="english"), "Hello."))
    assert isinstance(events[0], Started)
    assert (events[0].model, events[0].voice) == ("english", "carl")


async def test_parameters_the_model_ignores_are_warned_about(voices: VoiceLibrary) -> None:
    config = SpeechConfig(sampling=Sampling(top_k=5, cfg_weight=0.3, temperature=0.5))
    async with synthesizer(voices) as tts:
        events = await all_of(tts.speak(config, "Hello."))
    assert_whole(events)
    warned = [event for event in events if isinstance(event, Warned)]
    assert [warning.code for warning in warned] == ["PARAMETER_IGNORED"] * 2
    assert "cfg_weight" in warned[0].message
    assert "top_k" in warned[1].message


async def test_leaving_frees_the_engine_at_once(voices: VoiceLibrary) -> None:
    async with synthesizer(voices, seconds_per_token=0.002) as tts:
        async with aclosing(tts.speak(SEEDED, LONG)) as events:
            async for event in events:
                if isinstance(event, Audio):
                    break
            assert tts.engine.active_count == 2
        await until(lambda: tts.engine.active_count == 0)


async def test_leaving_a_live_stream_frees_the_engine_at_once(voices: VoiceLibrary) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[SpeechInput]:
        try:
            yield TextFragment(LONG)
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with synthesizer(voices, seconds_per_token=0.002) as tts:
        async with aclosing(tts.speak_live(SEEDED, endless())) as events:
            async for event in events:
                if isinstance(event, Audio):
                    break
        assert closed.is_set()
        await until(lambda: tts.engine.active_count == 0)


async def test_a_full_engine_refuses_before_started(voices: VoiceLibrary) -> None:
    config = EngineConfig(slots=1, max_waiting=0)
    async with (
        synthesizer(voices, config, seconds_per_token=0.002) as tts,
        aclosing(tts.speak(SEEDED, LONG)) as events,
    ):
        await anext(events)
        with pytest.raises(Overloaded):
            await anext(tts.speak(SEEDED, "Hello."))


async def test_streams_that_have_begun_wait_for_one_another(voices: VoiceLibrary) -> None:
    config = EngineConfig(slots=1, max_waiting=1)
    async with synthesizer(voices, config) as tts:
        both = await asyncio.gather(
            all_of(tts.speak(SEEDED, LONG)),
            all_of(tts.speak_live(SEEDED, given(0.001, TextFragment(LONG)))),
            return_exceptions=True,
        )
    whole = [events for events in both if isinstance(events, list)]
    assert whole, "at least the first is never refused half way"
    for events in whole:
        assert_whole(events)


async def test_a_stopped_engine_says_so(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        await tts.engine.stop()
        with pytest.raises(EngineStopped):
            await all_of(tts.speak(SEEDED, "Hello."))


async def test_an_engine_that_stops_meanwhile_ends_the_stream_with_an_error(
    voices: VoiceLibrary,
) -> None:
    async with synthesizer(voices, seconds_per_token=0.002) as tts:
        events = tts.speak(SEEDED, LONG)
        await anext(events)
        await anext(events)
        await tts.engine.stop()
        with pytest.raises(EngineStopped):
            await all_of(events)


async def test_fragments_cut_inside_words_are_spoken_as_the_text(voices: VoiceLibrary) -> None:
    text = "Hello world, this is one. And this is two."
    async with synthesizer(voices) as tts:
        live = await all_of(
            tts.speak_live(SEEDED, given(*(TextFragment(letter) for letter in text)))
        )
    assert_whole(live)
    assert sum(len(audio.clip) for audio in audio_of(live)) == spoken_samples(
        "Hello world, this is one.", "And this is two."
    )


async def test_a_flush_is_acknowledged_after_the_audio_of_its_text(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = await all_of(
            tts.speak_live(
                SEEDED,
                given(
                    TextFragment("First part."),
                    Flush("one"),
                    TextFragment(" And the second."),
                    Flush("two"),
                    Flush("three"),
                ),
            )
        )
    assert_whole(events)
    done = [event for event in events if isinstance(event, FlushDone)]
    first = spoken_samples("First part.")
    both = spoken_samples("First part.", "And the second.")
    assert done == [
        FlushDone(flush_id="one", offset_samples=first),
        FlushDone(flush_id="two", offset_samples=both),
        FlushDone(flush_id="three", offset_samples=both),
    ]
    heard_before = events[: events.index(done[0])]
    assert sum(len(audio.clip) for audio in audio_of(heard_before)) == first


async def test_waiting_text_is_spoken_after_the_buffer_delay(voices: VoiceLibrary) -> None:
    config = SpeechConfig(max_buffer_delay_s=0.05)
    still_open = asyncio.Event()

    async def slow() -> AsyncIterator[SpeechInput]:
        yield TextFragment("No end in sight ")
        await still_open.wait()

    async with (
        synthesizer(voices) as tts,
        asyncio.timeout(10),
        aclosing(tts.speak_live(config, slow())) as events,
    ):
        kinds = [type(await anext(events)) for _ in range(2)]
        assert kinds == [Started, Audio]
        still_open.set()
        await all_of(events)


async def test_text_is_held_back_while_its_sentence_may_go_on(voices: VoiceLibrary) -> None:
    config = SpeechConfig(max_buffer_delay_s=5.0)
    async with synthesizer(voices) as tts:
        events = await all_of(
            tts.speak_live(config, given(TextFragment("one and"), 0.1, TextFragment(" two")))
        )
    assert sum(len(audio.clip) for audio in audio_of(events)) == spoken_samples("one and two")


async def test_an_interrupt_drops_what_is_unsaid_and_the_session_goes_on(
    voices: VoiceLibrary,
) -> None:
    interrupted = asyncio.Event()

    async def barge_in() -> AsyncIterator[SpeechInput]:
        yield TextFragment(LONG)
        yield Flush("never")
        yield TextFragment("And more")
        await interrupted.wait()
        yield Interrupt()
        yield TextFragment("Something else entirely.")

    async with synthesizer(voices, seconds_per_token=0.002) as tts:
        events = []
        async with aclosing(tts.speak_live(SEEDED, barge_in())) as stream, asyncio.timeout(20):
            async for event in stream:
                events.append(event)
                interrupted.set()
    assert_whole(events)
    (report,) = [event for event in events if isinstance(event, Interrupted)]
    place = events.index(report)
    delivered = sum(len(audio.clip) for audio in audio_of(events[:place]))
    assert report.offset_samples == delivered < spoken_samples(LONG[:200])
    assert report.dropped_text.endswith("And more")
    assert len(report.dropped_text) > len(LONG) / 2
    after = audio_of(events[place:])
    assert len({audio.segment for audio in after}) == 1
    assert sum(len(audio.clip) for audio in after) == (
        spoken_samples("Something else entirely.")
        + round(Boundary.SENTENCE.value * 24_000) * bool(delivered)
    )
    assert not [event for event in events if isinstance(event, FlushDone)]


async def test_an_interrupt_with_a_position_names_what_was_not_heard(voices: VoiceLibrary) -> None:
    first, second = "This one was heard in full.", "This one was delivered but not heard."
    async with synthesizer(voices) as tts:
        events = await all_of(
            tts.speak_live(
                SEEDED,
                given(
                    TextFragment(f"{first} "),
                    0.2,
                    TextFragment(second),
                    Flush("x"),
                    0.3,
                    Interrupt(0.5),
                ),
            )
        )
    assert isinstance(events[-2], Interrupted)
    assert events[-2].dropped_text == second
    assert events[-2].offset_samples == spoken_samples(first, second)


async def test_text_with_nothing_to_speak_between_is_warned_about(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = await all_of(
            tts.speak_live(
                SEEDED,
                given(TextFragment("Hello there."), Flush("a"), TextFragment("***"), Flush("b")),
            )
        )
    assert_whole(events)
    kinds = [type(event) for event in events if not isinstance(event, Audio)]
    assert kinds == [Started, UtteranceDone, FlushDone, Warned, FlushDone, Summary]


async def test_a_session_without_text_ends_with_an_empty_summary(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = await all_of(tts.speak_live(SEEDED, given(Flush("nothing"))))
    assert [type(event) for event in events] == [Started, FlushDone, Summary]
    assert isinstance(events[-1], Summary)
    assert events[-1].audio_duration_s == events[-1].real_time_factor == 0.0


async def test_an_error_among_the_inputs_ends_the_stream_with_it(voices: VoiceLibrary) -> None:
    async def broken() -> AsyncIterator[SpeechInput]:
        yield TextFragment(LONG)
        raise InvalidRequest("config twice", field="config")

    async with synthesizer(voices, seconds_per_token=0.002) as tts:
        with pytest.raises(InvalidRequest, match="config twice"):
            await all_of(tts.speak_live(SEEDED, broken()))
        await until(lambda: tts.engine.active_count == 0)


class Illiterate(ToneDevice):
    """A tone device that cannot read capital letters."""

    def admit(self, sequence: Sequence) -> int:
        if sequence.utterance.text.isupper():
            raise InvalidRequest("capitals cannot be read", field="text")
        return super().admit(sequence)


async def test_an_utterance_the_model_refuses_is_passed_over(voices: VoiceLibrary) -> None:
    engine = DeviceEngine(Illiterate())
    await engine.start()
    tts = Synthesizer(engine=engine, voices=voices)
    spoken = "This is a sentence that is long enough to stand alone."
    events = await all_of(tts.speak(SEEDED, f"{spoken} {spoken.upper()} {spoken}"))
    assert_whole(events)
    assert [event.code for event in events if isinstance(event, Warned)] == ["UTTERANCE_SKIPPED"]
    assert sum(len(audio.clip) for audio in audio_of(events)) == spoken_samples(spoken, spoken)

    with pytest.raises(InvalidRequest, match="capitals"):
        await all_of(tts.speak(SEEDED, spoken.upper()))
    silent = await all_of(tts.speak_live(SEEDED, given(TextFragment(spoken.upper()))))
    assert [type(event) for event in silent] == [Started, Warned, Summary]
    await engine.stop()


def summary_of(events: list[SpeechEvent]) -> Summary:
    summary = events[-1]
    assert isinstance(summary, Summary)
    return summary


async def test_speech_that_keeps_up_has_no_gaps(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        summary = summary_of(await all_of(tts.speak(SEEDED, LONG)))
    assert (summary.underrun_count, summary.underrun_s) == (0, 0.0)


async def test_gaps_of_an_engine_that_does_not_keep_up_are_told(voices: VoiceLibrary) -> None:
    async with synthesizer(voices, seconds_per_token=0.08) as tts:
        summary = summary_of(await all_of(tts.speak(SEEDED, "Twice as slow as it sounds.")))
    assert summary.underrun_count >= 1
    assert 0.2 < summary.underrun_s < summary.synthesis_duration_s


async def test_a_pause_between_two_turns_is_no_gap(voices: VoiceLibrary) -> None:
    turns = given(TextFragment("Hi."), Flush("a"), 0.5, TextFragment("And now?"), Flush("b"))
    async with synthesizer(voices) as tts:
        summary = summary_of(await all_of(tts.speak_live(SEEDED, turns)))
    assert summary.segment_count == 2
    assert summary.underrun_count == 0


async def test_a_client_that_pauses_hears_no_gap_of_ours(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        events = []
        async for event in tts.speak(SEEDED, "Hello there, how are you?"):
            events.append(event)
            if isinstance(event, Audio):
                await asyncio.sleep(event.clip.duration_s + 0.1)
    assert len(audio_of(events)) > 1
    assert summary_of(events).underrun_count == 0


async def test_the_engine_is_told_how_much_is_still_to_be_said(voices: VoiceLibrary) -> None:
    async with (
        synthesizer(voices, seconds_per_token=0.01) as tts,
        aclosing(tts.speak(SEEDED, LONG)) as events,
    ):
        async for event in events:
            if isinstance(event, Audio):
                break
        owed_s = tts.engine.load.queued_audio_s
    assert 0.6 < owed_s / (spoken_samples(LONG) / 24_000) < 1.2


async def test_pauses_are_silence_of_their_kind_in_their_place(voices: VoiceLibrary) -> None:
    first = "The first sentence is long enough to stand alone."
    text = f"{first} [pause:1.5s] {first}\n\n{first} {first}"
    async with synthesizer(voices) as tts:
        events = await all_of(tts.speak(SEEDED, text))
    assert_whole(events)
    silences = [audio for audio in audio_of(events) if audio.silence is not None]
    assert [(audio.silence, audio.clip.duration_s, audio.segment) for audio in silences] == [
        (Silence.ASKED, 1.5, 0),
        (Silence.BOUNDARY, Boundary.PARAGRAPH.value, 1),
        (Silence.BOUNDARY, Boundary.SENTENCE.value, 2),
    ]
    assert not any(audio.clip.samples.any() for audio in silences)
    done = [event.segment for event in events if isinstance(event, UtteranceDone)]
    assert done == [0, 1, 2, 3]


async def test_tags_are_performed_or_left_out_with_a_warning(voices: VoiceLibrary) -> None:
    spoken: list[str] = []

    class Overheard(ToneDevice):
        def admit(self, sequence: Sequence) -> int:
            spoken.append(sequence.utterance.text)
            return super().admit(sequence)

    family = replace(TONE_FAMILY, tags=frozenset({"laugh"}))
    engine = DeviceEngine(Overheard((family,)))
    await engine.start()
    config = replace(SEEDED, pronunciations=(Pronunciation("nginx", "engine ex"),))
    events = await all_of(
        Synthesizer(engine=engine, voices=voices).speak(config, "[laugh] So [sigh] that is nginx.")
    )
    await engine.stop()
    assert spoken == ["[laugh] So  that is engine ex."]
    assert [event.code for event in events if isinstance(event, Warned)] == ["TAG_UNKNOWN"]


async def test_a_text_of_pauses_alone_is_refused(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        with pytest.raises(InvalidRequest) as caught:
            await all_of(tts.speak(SEEDED, "[pause:1s] [unknown]"))
    assert caught.value.reason == "NOTHING_TO_SPEAK"


async def test_live_markup_may_be_cut_anywhere(voices: VoiceLibrary) -> None:
    async with synthesizer(voices) as tts:
        whole = await all_of(tts.speak(SEEDED, "Wait [pause:500ms] for it."))
        pieces = [TextFragment(letter) for letter in "Wait [pause:500ms] for it."]
        live = await all_of(tts.speak_live(SEEDED, given(*pieces)))
    assert [audio.silence for audio in audio_of(live)] == [
        audio.silence for audio in audio_of(whole)
    ]
    assert sum(len(audio.clip) for audio in audio_of(live)) == sum(
        len(audio.clip) for audio in audio_of(whole)
    )
