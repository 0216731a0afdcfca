"""The voices in the repository are understood by a recogniser and told apart by a speaker encoder.

A few sentences: enough to catch weights that do not fit the code. `chatterbox evaluate` measures.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chatterbox.evaluation.evaluate import (
    VoiceReport,
    compare_speakers,
    evaluate_voice,
    sentences,
)
from chatterbox.evaluation.likeness import speaker_embedder
from chatterbox.evaluation.recogniser import Recogniser
from chatterbox.synthesis import Synthesizer
from chatterbox.voices.library import VoiceLibrary
from server.app import build_engine
from server.settings import load_settings

SENTENCES = 5
MOST_WORD_ERRORS = 0.25  # the bar is 0.2 over forty sentences; a handful scatters more

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.timeout(1200),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reports() -> AsyncIterator[list[VoiceReport]]:
    engine, voices = build_engine(load_settings()), VoiceLibrary()
    await engine.start()
    synthesizer = Synthesizer(engine=engine, voices=voices)
    recogniser = Recogniser(threads=1)
    texts = sentences()[:SENTENCES]
    made = [
        await evaluate_voice(synthesizer, recogniser, voice.id, texts=texts, heard=SENTENCES)
        for voice in voices.list()
    ]
    await engine.stop()
    references = {
        voice.id: voices.conditioning(voice.id, "tiny").t3.speaker_embedding[0].numpy()
        for voice in voices.list()
    }
    compare_speakers(made, references, speaker_embedder())
    yield made


async def test_there_is_a_female_and_a_male_voice() -> None:
    assert {"female", "male"} <= {voice.gender for voice in VoiceLibrary().list()}


async def test_a_recogniser_hears_the_words(reports: list[VoiceReport]) -> None:
    rates = {report.voice: report.word_error_rate for report in reports}

    assert all(rate <= MOST_WORD_ERRORS for rate in rates.values()), rates


async def test_each_voice_resembles_itself_most(reports: list[VoiceReport]) -> None:
    assert all(report.resembles_itself for report in reports), [r.likeness for r in reports]


async def test_nothing_stops_early_or_runs_away(reports: list[VoiceReport]) -> None:
    assert [spoken.text for report in reports for spoken in report.ill_paced] == []
