"""`chatterbox bench`: how fast the models and the engine run on this machine."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from chatterbox.benchmark.conditions import Conditions, Precision, What
from chatterbox.benchmark.report import Report

Measured = Annotated[
    str,
    typer.Option("--what", help="t3, s3gen, stream (the engine), load (many callers) or device."),
]
FamilyId = Annotated[
    str, typer.Option("--family", help="tiny, english, multilingual, turbo or nano.")
]
RandomWeights = Annotated[
    bool, typer.Option("--random-weights", help="The right shapes with nothing learnt: no files.")
]
Weights = Annotated[Path | None, typer.Option(help="Folder of the family's weights.")]
Voices = Annotated[Path | None, typer.Option(help="Folder of voices for those weights.")]
InPrecision = Annotated[str, typer.Option(help="fp32, bf16, fp16 or int8.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
Threads = Annotated[int, typer.Option(help="Threads on a CPU.")]
Streams = Annotated[int, typer.Option(help="Utterances spoken together.")]
Seconds = Annotated[
    float | None, typer.Option(help="Length of an utterance; of the whole run under load.")
]
Repeats = Annotated[int, typer.Option(help="Measurements after the warm-up.")]
PromptS = Annotated[
    float | None, typer.Option("--prompt-s", help="Recording behind a made-up voice, in seconds.")
]
LateS = Annotated[
    float, typer.Option("--late-s", help="s3gen: where in a stream a late chunk lies, in seconds.")
]
Offered = Annotated[
    float, typer.Option(help="load: what is asked for, as a share of the measured capacity.")
]
Utterances = Annotated[
    int | None, typer.Option(help="load: end after so many, asked for as fast as they are spoken.")
]
Seed = Annotated[int, typer.Option(help="Of weights, texts, voices and arrivals.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one line of JSON after the table.")]


def bench(  # noqa: PLR0913  (each is a flag)
    *,
    what: Measured = "stream",
    family: FamilyId = "tiny",
    random_weights: RandomWeights = False,
    weights: Weights = None,
    voices: Voices = None,
    precision: InPrecision = "fp32",
    device: Device = "cpu",
    threads: Threads = 2,
    streams: Streams = 1,
    seconds: Seconds = None,
    repeats: Repeats = 5,
    prompt_s: PromptS = None,
    late_s: LateS = 60.0,
    offered: Offered = 0.7,
    utterances: Utterances = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> int:
    """Speed of the models or of the whole engine, measured in this process.

    `--what device` gives verdicts, and exits with 1 if one of them is poor.
    """
    conditions = Conditions(
        what=cast(What, what),
        family_id=family,
        random_weights=random_weights,
        weights=weights,
        voices=voices,
        precision=cast(Precision, precision),
        device=device,
        threads=threads,
        streams=streams,
        seconds=seconds,
        repeats=repeats,
        prompt_s=prompt_s,
        late_s=late_s,
        offered=offered,
        utterances=utterances,
        seed=seed,
    )
    report = _measure(conditions)
    _show(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json()) + "\n")
    return int(any(not verdict.is_good for verdict in report.verdicts))


def _measure(conditions: Conditions) -> Report:
    # As the server does, before torch is loaded (server.app).
    os.environ.setdefault("OMP_WAIT_POLICY", "ACTIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from chatterbox.benchmark.measure import measure

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(conditions.what, total=1.0)
        return measure(conditions, lambda share: progress.advance(bar, share))


def _show(report: Report) -> None:
    asked, machine = report.conditions, report.machine
    weights = ", random weights" if asked.random_weights else ""
    table = Table(
        "figure",
        "median",
        "least",
        "most",
        "runs",
        title=f"{asked.family_id} {asked.what}: {asked.precision}{weights}, "
        f"{asked.streams} together, {asked.threads} threads",
        caption=f"{machine.device} · {machine.cpu}, {machine.cores} cores · torch {machine.torch}",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in report:
        table.add_row(
            figure.name,
            *(f"{value:.4g}" for value in (figure.median, figure.low, figure.high)),
            str(len(figure.values)),
        )
    console = Console()
    console.print(table)
    for verdict in report.verdicts:
        mark = "[green]good[/green]" if verdict.is_good else "[red]poor[/red]"
        console.print(f"{mark}  {verdict.says}")
