"""`chatterbox evaluate`: the figures of the bundled voice, measured on this machine."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from chatterbox.errors import ConfigError
from server.app import build_engine, voice_roots
from server.settings import load_settings

if TYPE_CHECKING:
    from chatterbox.evaluation.evaluate import Spoken, VoiceReport

Voices = Annotated[
    list[str] | None, typer.Option("--voice", help="Voice to judge; by default, all of them.")
]
Heard = Annotated[int, typer.Option(min=1, max=100, help="Sentences the recogniser hears.")]
Total = Annotated[int, typer.Option(min=1, max=100, help="Sentences spoken in all.")]
Cloning = Annotated[
    bool, typer.Option("--cloning", help="Instead: copies made of the voices' own speech.")
]
Timings = Annotated[
    bool, typer.Option("--timings", help="Instead: when words are said, against an aligner.")
]
Conversion = Annotated[
    bool, typer.Option("--conversion", help="Instead: speech converted to another voice.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One row of the result."""

    voice: str
    word_error_rate: float  # mean over the seeds
    word_error_rates: dict[int, float]
    utterances: int
    ill_paced: int
    likeness: dict[str, float]
    resembles_itself: bool
    time_to_first_audio_s: float
    real_time_factor: float


def evaluate(  # noqa: PLR0913  # one parameter per option: so typer wants it
    *,
    voice: Voices = None,
    heard: Heard = 40,
    total: Total = 100,
    cloning: Cloning = False,
    timings: Timings = False,
    conversion: Conversion = False,
    as_json: AsJson = False,
) -> None:
    """Word errors, pace, speaker likeness and speed of the bundled voice, in this process."""
    try:
        import chatterbox.evaluation.recogniser  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"evaluating needs the package {error.name}: pip install '.[evaluate]'"
        ) from error
    if cloning:
        asyncio.run(_evaluate_cloning(voice, count=heard, as_json=as_json))
        return
    if timings:
        asyncio.run(_evaluate_timings(voice, count=heard, as_json=as_json))
        return
    if conversion:
        asyncio.run(_evaluate_conversion(as_json=as_json))
        return
    reports = asyncio.run(_evaluate(voice, heard=heard, total=max(heard, total)))
    figures = [_figures(report) for report in reports]
    if as_json:
        sys.stdout.write(json.dumps([asdict(row) for row in figures]) + "\n")
    else:
        _show(figures, reports)


async def _evaluate(voice_ids: list[str] | None, *, heard: int, total: int) -> list["VoiceReport"]:
    from chatterbox.evaluation.evaluate import compare_speakers, evaluate_voice, sentences
    from chatterbox.evaluation.likeness import speaker_embedder
    from chatterbox.evaluation.recogniser import Recogniser
    from chatterbox.synthesis import Synthesizer
    from chatterbox.voices.library import VoiceLibrary

    settings = load_settings()
    engine = build_engine(settings)
    voices = VoiceLibrary(voice_roots(settings))
    family = next(iter(engine.families))
    known = [voice.id for voice in voices.list() if family in voice.families]
    chosen = [voices.get(voice_id).id for voice_id in voice_ids or known]
    recogniser = Recogniser(threads=settings.threads)
    reports = []
    await engine.start()
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for voice_id in chosen:
                bar = progress.add_task(voice_id, total=total + heard)

                def advance(_: "Spoken", bar: TaskID = bar) -> None:
                    progress.advance(bar)

                reports.append(
                    await evaluate_voice(
                        Synthesizer(engine=engine, voices=voices),
                        recogniser,
                        voice_id,
                        texts=sentences()[:total],
                        heard=heard,
                        on_spoken=advance,
                    )
                )
    finally:
        await engine.stop()
    references = {
        voice_id: voices.conditioning(voice_id, family).t3.speaker_embedding[0].numpy()
        for voice_id in known
    }
    compare_speakers(reports, references, speaker_embedder())
    return reports


async def _evaluate_cloning(voice_ids: list[str] | None, *, count: int, as_json: bool) -> None:
    """Print how much copies resemble those they were made of."""
    from chatterbox.evaluation.cloning import REFERENCE, evaluate_cloning, speech_of
    from chatterbox.evaluation.evaluate import sentences
    from chatterbox.evaluation.likeness import speaker_embedder
    from chatterbox.evaluation.recogniser import Recogniser
    from chatterbox.speech import SpeechConfig
    from chatterbox.synthesis import Synthesizer
    from chatterbox.voices.library import VoiceLibrary

    settings = load_settings()
    engine = build_engine(settings)
    voices = VoiceLibrary(voice_roots(settings))
    family = next(iter(engine.families))
    chosen = voice_ids or [voice.id for voice in voices.list() if family in voice.families]
    await engine.start()
    try:
        synthesizer = Synthesizer(engine=engine, voices=voices)
        recordings = {
            voice_id: await speech_of(synthesizer, SpeechConfig(voice=voice_id), REFERENCE)
            for voice_id in chosen
        }
        reports = await evaluate_cloning(
            synthesizer,
            Recogniser(threads=settings.threads),
            speaker_embedder(),
            recordings,
            texts=sentences()[:count],
        )
    finally:
        await engine.stop()
    _print_rows([asdict(report) for report in reports], as_json=as_json)


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(_shown, row.values()))
    Console().print(table)


def _shown(value: object) -> str:
    match value:
        case float():
            return f"{value:.3f}"
        case dict():
            return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
        case _:
            return str(value)


async def _evaluate_timings(voice_ids: list[str] | None, *, count: int, as_json: bool) -> None:
    """Print how far word timings are from those of an independent aligner."""
    from chatterbox.evaluation.evaluate import sentences
    from chatterbox.evaluation.timings import evaluate_timings
    from chatterbox.synthesis import Synthesizer
    from chatterbox.voices.library import VoiceLibrary

    settings = load_settings()
    engine = build_engine(settings)
    voices = VoiceLibrary(voice_roots(settings))
    family = next(iter(engine.families))
    chosen = voice_ids or [voice.id for voice in voices.list() if family in voice.families]
    rows = []
    await engine.start()
    try:
        synthesizer = Synthesizer(engine=engine, voices=voices)
        for voice_id in chosen:
            report = await evaluate_timings(synthesizer, voice_id, texts=sentences()[:count])
            rows.append(
                {
                    "voice": voice_id,
                    "words": len(report.starts_s),
                    "sentences": report.sentences,
                    "passed_over": report.passed_over,
                    "median_start_s": report.median_start_s,
                    "p90_start_s": report.start_quantile_s(0.9),
                    "median_end_s": report.median_end_s,
                }
            )
    finally:
        await engine.stop()
    _print_rows(rows, as_json=as_json)


async def _evaluate_conversion(*, as_json: bool) -> None:
    """Print whether conversion keeps the words and moves the speaker."""
    from chatterbox.conversion import Converter
    from chatterbox.evaluation.conversion import evaluate_conversion
    from chatterbox.evaluation.recogniser import Recogniser
    from chatterbox.synthesis import Synthesizer
    from chatterbox.voices.library import VoiceLibrary

    settings = load_settings()
    engine = build_engine(settings)
    voices = VoiceLibrary(voice_roots(settings))
    await engine.start()
    try:
        reports = await evaluate_conversion(
            Synthesizer(engine=engine, voices=voices),
            Converter(engine=engine, voices=voices),
            Recogniser(threads=settings.threads),
        )
    finally:
        await engine.stop()
    _print_rows([report.figures() for report in reports], as_json=as_json)


def _figures(report: "VoiceReport") -> Figures:
    return Figures(
        voice=report.voice,
        word_error_rate=report.word_error_rate,
        word_error_rates=report.word_error_rates,
        utterances=len(report.spoken),
        ill_paced=len(report.ill_paced),
        likeness=report.likeness,
        resembles_itself=report.resembles_itself,
        time_to_first_audio_s=report.time_to_first_audio_s,
        real_time_factor=report.real_time_factor,
    )


def _show(figures: list[Figures], reports: list["VoiceReport"]) -> None:
    console = Console()
    table = Table("voice", "word errors", "by seed", "ill paced", "likeness", "first audio", "RTF")
    for row in figures:
        table.add_row(
            row.voice,
            f"{row.word_error_rate:.1%}",
            ", ".join(f"{rate:.1%}" for rate in row.word_error_rates.values()),
            f"{row.ill_paced} of {row.utterances}",
            ", ".join(f"{voice} {value:.2f}" for voice, value in row.likeness.items()),
            f"{row.time_to_first_audio_s:.2f} s",
            f"{row.real_time_factor:.2f}",
        )
    console.print(table)
    for report in reports:
        for said, heard in report.misheard:
            console.print(f"[dim]{report.voice}[/dim] {said}\n      [red]{heard}[/red]")
