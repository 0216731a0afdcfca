"""Ours against the reference, `chatterbox-tts` 0.1.7 of PyPI, side by side on this machine.

    python tests/load/compare_reference.py --reference-python REFERENCE/bin/python

The reference runs in an environment of its own, since it shares our import name. Its pins do not
fit newer Pythons and torch; this one works with Python 3.11 and the torch that we use:

    python3.11 -m venv REFERENCE
    REFERENCE/bin/pip install torch==2.14.1 torchaudio==2.11.0
    REFERENCE/bin/pip install --no-deps chatterbox-tts==0.1.7 s3tokenizer==0.3.0
    REFERENCE/bin/pip install 'setuptools<81' transformers==5.2.0 tokenizers==0.22.2 \\
        diffusers==0.29.0 conformer==0.3.2 librosa==0.11.0 resemble-perth==1.0.1 \\
        safetensors numpy scipy soundfile pyloudnorm omegaconf einops onnx tqdm

What is done to be fair: one set of random weights under the official names for both sides, the same
voice, the same text ids, as many tokens, the same number of threads and the same settings of
OpenMP; one process works while the others sleep; measurements alternate and each gives a ratio with
the one before it; medians of the ratios. The reference speaks without its watermark, since ours has
none; what the watermark takes is shown beside it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from comparison import Bar, Row, table_of
from random_weights import write_checkpoints
from rich.console import Console
from worker_protocol import Worker

from chatterbox.benchmark.machine import Neighbours
from chatterbox.benchmark.voices import write_made_up_voices
from chatterbox.models.families import FAMILIES, Family

HERE = Path(__file__).parent
TOKENIZERS = HERE.parent / "golden" / "tokenizers"
PROMPT_S = 10.0
TOKEN_RATE_HZ = 25
MANY = 8  # streams
SEED = 1
TABLE_WIDTH = 140  # even in a pipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    repeats: int = 5
    t3_tokens: int = 75
    utterance_s: float = 5.0
    long_utterance_s: float = 10.0
    late_s: float = 600.0
    utterances: int = 500

    @classmethod
    def quick(cls) -> "Extent":
        """To see that everything runs; the figures mean little."""
        return cls(
            repeats=1,
            t3_tokens=12,
            utterance_s=1.0,
            long_utterance_s=2.0,
            late_s=20.0,
            utterances=20,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The workers, all with one family loaded."""

    reference: Worker
    ours: dict[str, Worker]  # by precision, fp32 first
    extent: Extent

    @property
    def fastest(self) -> str:
        return list(self.ours)[-1]

    def text_ids(self, tokens: int) -> list[int]:
        ids: list[int] = self.ours["fp32"].do("text_ids", tokens=tokens)["text_ids"]
        return ids

    def turns(self) -> Iterator[int]:
        """One to warm up, numbered -1, then those that count."""
        yield from range(-1, self.extent.repeats)


def compare_t3(sides: Sides, family: Family) -> Iterator[Row]:
    """One stream against the reference, and many streams against one."""
    tokens = sides.extent.t3_tokens
    text_ids = sides.text_ids(tokens)
    theirs: list[float] = []
    alone: dict[str, list[dict[str, float]]] = {precision: [] for precision in sides.ours}
    together: dict[str, list[dict[str, float]]] = {precision: [] for precision in sides.ours}
    given = {"text_ids": text_ids, "tokens": tokens, "seed": SEED}
    for turn in sides.turns():
        their_rate = sides.reference.do("t3", **given)["tokens_per_s"]
        one = {p: ours.do("t3", streams=1, **given) for p, ours in sides.ours.items()}
        many = {p: ours.do("t3", streams=MANY, **given) for p, ours in sides.ours.items()}
        if turn >= 0:
            theirs.append(their_rate)
            for precision in sides.ours:
                alone[precision].append(one[precision])
                together[precision].append(many[precision])
    for precision, runs in alone.items():
        yield Row.rates(
            f"{family.id}: T3 decode, {precision}",
            theirs,
            [run["tokens_per_s"] for run in runs],
            unit="tokens/s",
            bar=Bar(value=1.3 if precision == "fp32" else 3.0),
            limits=tuple(run["limit"] for run in runs),
        )
    for precision, runs in together.items():
        yield Row.rates(
            f"{family.id}: T3 decode, {precision}, {MANY} streams : 1",
            [run["tokens_per_s"] for run in alone[precision]],
            [run["tokens_per_s"] for run in runs],
            unit="tokens/s",
            bar=Bar(value=5.0),
            limits=tuple(run["limit"] for run in runs),
        )


def compare_s3gen(sides: Sides, family: Family) -> Iterator[Row]:
    """A whole utterance."""
    tokens = round(sides.extent.utterance_s * TOKEN_RATE_HZ)
    theirs: list[dict[str, float]] = []
    ours: dict[str, list[dict[str, float]]] = {precision: [] for precision in sides.ours}
    for turn in sides.turns():
        their_times = sides.reference.do("s3gen", tokens=tokens, seed=SEED)
        our_times = {p: worker.do("s3gen", tokens=tokens) for p, worker in sides.ours.items()}
        if turn >= 0:
            theirs.append(their_times)
            for precision, times in our_times.items():
                ours[precision].append(times)
    seconds = sides.extent.utterance_s
    their_s = [each["flow_s"] + each["vocoder_s"] for each in theirs]
    for precision, times in ours.items():
        bar = Bar(value=1.5 if precision == "fp32" else 2.5)
        yield Row.times(
            f"{family.id}: S3Gen whole {seconds:g} s, {precision}",
            their_s,
            [each["flow_s"] + each["vocoder_s"] for each in times],
            unit="s",
            bar=bar,
        )
        for part in ("flow", "vocoder"):
            yield Row.times(
                f"{family.id}: its {part}, {precision}",
                [each[f"{part}_s"] for each in theirs],
                [each[f"{part}_s"] for each in times],
                unit="s",
                bar=None,
            )
        yield Row.times(
            f"{family.id}: S3Gen whole {seconds:g} s, {precision}, voice known",
            their_s,
            [each["known_voice_s"] for each in times],
            unit="s",
            bar=bar,
        )


def compare_speech(sides: Sides, family: Family) -> Iterator[Row]:
    """From text to audio: first audio, real-time factor, many streams together."""
    yield from _first_audio(sides, family)
    yield from _real_time(sides, family)
    yield from _company(sides, family)


def _first_audio(sides: Sides, family: Family) -> Iterator[Row]:
    seconds = sides.extent.long_utterance_s
    theirs, ours = _spoken(sides, round(seconds * TOKEN_RATE_HZ))
    for precision, heard in ours.items():
        yield Row.times(
            f"{family.id}: first audio of {seconds:g} s, {precision}",
            [each["wall_s"] for each in theirs],
            [each["first_audio_s"] for each in heard],
            unit="s",
            bar=Bar(value=8.0),
        )


def _real_time(sides: Sides, family: Family) -> Iterator[Row]:
    seconds = sides.extent.utterance_s
    theirs, ours = _spoken(sides, round(seconds * TOKEN_RATE_HZ))
    for precision, heard in ours.items():
        yield Row.times(
            f"{family.id}: RTF of {seconds:g} s, {precision}",
            [each["wall_s"] / each["audio_s"] for each in theirs],
            [each["wall_s"] / each["audio_s"] for each in heard],
            unit="RTF",
            bar=Bar(value=3.0) if precision == sides.fastest else None,
        )
    fastest = ours[sides.fastest]
    yield Row.times(
        f"{family.id}: the same with the reference's watermark, {sides.fastest}",
        [(each["wall_s"] + each["watermark_s"]) / each["audio_s"] for each in theirs],
        [each["wall_s"] / each["audio_s"] for each in fastest],
        unit="RTF",
        bar=None,
    )


def _spoken(
    sides: Sides, tokens: int
) -> tuple[list[dict[str, float]], dict[str, list[dict[str, float]]]]:
    """The same text by everyone in turn."""
    text_ids = sides.text_ids(tokens)
    theirs: list[dict[str, float]] = []
    ours: dict[str, list[dict[str, float]]] = {precision: [] for precision in sides.ours}
    for turn in sides.turns():
        their = sides.reference.do("speak", text_ids=text_ids, tokens=tokens, seed=SEED)
        our = {p: worker.do("speak", streams=1, tokens=tokens) for p, worker in sides.ours.items()}
        if turn >= 0:
            theirs.append(their)
            for precision, heard in our.items():
                ours[precision].append(heard)
    return theirs, ours


def _company(sides: Sides, family: Family) -> Iterator[Row]:
    tokens = round(sides.extent.utterance_s * TOKEN_RATE_HZ)
    for precision, worker in sides.ours.items():
        runs = [
            [worker.do("speak", streams=streams, tokens=tokens) for streams in (1, MANY)]
            for turn in sides.turns()
        ][1:]
        rates = [[run["audio_s"] / run["wall_s"] for run in pair] for pair in runs]
        yield Row.rates(
            f"{family.id}: audio seconds per second, {precision}, {MANY} streams : 1",
            [alone for alone, _ in rates],
            [together for _, together in rates],
            unit="s/s",
            bar=Bar(value=1.8),
        )


COMPARISONS = {
    "nano": (compare_t3, compare_s3gen, compare_speech),
    "turbo": (compare_t3,),
    "english": (compare_t3, compare_s3gen),
}


def compare_family(
    family: Family, reference_python: Path, fast: list[str], extent: Extent, threads: int
) -> Iterator[Row]:
    """All comparisons of one family, with weights made for them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comparison-")))
        weights, voices = folder / "weights", folder / "voices"
        kind = "english" if family.tokenizer == "english" else "turbo"
        shutil.copytree(TOKENIZERS / kind, weights)
        write_checkpoints(weights, family, seed=SEED)
        voices.mkdir()
        write_made_up_voices(voices, family, count=1, prompt_s=PROMPT_S, seed=SEED)
        (voice,) = voices.glob("*/conditioning.safetensors")
        reference = stack.enter_context(
            Worker(reference_python, HERE / "reference_worker.py", threads=threads)
        )
        given = {"family": family.id, "folder": str(weights), "threads": threads}
        reference.do("load", voice=str(voice), **given)
        ours: dict[str, Worker] = {}
        for precision in ("fp32", *fast):
            ours[precision] = stack.enter_context(
                Worker(Path(sys.executable), HERE / "our_worker.py", threads=threads)
            )
            ours[precision].do("load", voices=str(voices), precision=precision, **given)
        sides = Sides(reference=reference, ours=ours, extent=extent)
        for compare in COMPARISONS[family.id]:
            yield from compare(sides, family)


def compare_with_ourselves(extent: Extent, threads: int) -> Iterator[Row]:
    """What needs no reference: a late chunk against an early one, and memory."""
    chunks = _bench("--what", "s3gen", "--late-s", f"{extent.late_s:g}", threads=threads)
    figures = chunks["figures"]
    yield Row(
        name=f"tiny: chunk at {extent.late_s:g} s : at 10 s",
        unit="s",
        ratios=(figures["late_over_early"]["median"],),
        theirs=(figures["early_chunk_s"]["median"],),
        ours=(figures["late_chunk_s"]["median"],),
        bar=Bar(value=1.05, at_most=True),
    )
    load = ("--what", "load", "--streams", "4", "--utterances", str(extent.utterances))
    grown = _bench(*load, threads=threads)["figures"]
    before, growth = grown["rss_mb"]["min"], grown["rss_growth_mb"]["median"]
    yield Row(
        name=f"tiny: memory after {extent.utterances} utterances : before",
        unit="MB",
        ratios=((before + growth) / before,),
        theirs=(before,),
        ours=(before + growth,),
        bar=Bar(value=1.01, at_most=True),
    )


def _bench(*arguments: str, threads: int) -> dict[str, Any]:
    """`chatterbox bench` with these arguments, in a process of its own."""
    command = [Path(sys.executable).parent / "chatterbox", "bench", *arguments]
    done = subprocess.run(
        [*command, "--threads", str(threads), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def main(  # noqa: PLR0913  (each is a flag)
    *,
    reference_python: Annotated[Path, typer.Option(help="Python of the reference's environment.")],
    family: Annotated[
        list[str] | None, typer.Option(help="Only these: nano, turbo, english.")
    ] = None,
    fast: Annotated[
        list[str] | None, typer.Option(help="Precisions beside fp32, the fastest last.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Pairs of each comparison.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Only see that it runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON last.")] = False,
) -> None:
    """Print how we compare with the reference, and whether the bars are met."""
    extent = Extent.quick() if quick else Extent(repeats=repeats)
    rows: list[Row] = []
    neighbours = Neighbours()
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    for name in family or COMPARISONS:
        if name not in COMPARISONS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(COMPARISONS)}")
        compared = compare_family(
            FAMILIES[name], reference_python, fast or ["int8"], extent, threads
        )
        for row in compared:
            rows.append(row)
            console.print(f"{row.name}: {row.ratio:.2f} {row.verdict}", style="dim")
    rows.extend(compare_with_ourselves(extent, threads))
    console.print(table_of(rows))
    share = neighbours.share()
    if share is not None:
        console.print(f"{share:.0%} of the processors went to others in the meantime")
    if as_json:
        sys.stdout.write(
            json.dumps({"rows": [row.as_json() for row in rows], "cpu_taken_by_others": share})
            + "\n"
        )
    raise typer.Exit(any(row.verdict == "MISSED" for row in rows) and not quick)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
