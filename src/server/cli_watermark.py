"""`chatterbox watermark`: whether a recording is marked as synthetic. Needs no server."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatterbox.errors import InvalidRequest

if TYPE_CHECKING:
    from chatterbox.audio.clip import Clip

MAX_LISTENED_S = 600.0
MAX_FILE_BYTES = 256 * 1024 * 1024
UNMARKED_EXIT = 1  # as grep, so that a script can ask

watermark = typer.Typer(help="Find the mark in synthetic speech.", no_args_is_help=True)


@watermark.callback()
def _group() -> None:
    """Find the mark in synthetic speech."""


@watermark.command()
def detect(
    file: Annotated[Path, typer.Argument(help="A recording; its first 10 minutes are heard.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Tell whether a recording carries the watermark; the exit code is 1 if it does not."""
    # Not at the top: the other commands need not wait for these libraries.
    from chatterbox.audio.watermark_detector import THRESHOLD, WatermarkDetector

    detector = WatermarkDetector()
    clip = _clip(file)
    score = detector.score([clip])
    is_marked = score >= THRESHOLD
    if as_json:
        told = {"watermarked": is_marked, "score": score, "duration_s": clip.duration_s}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        verdict = "watermarked" if is_marked else "no watermark"
        sys.stdout.write(f"{file}: {verdict} (score {score:.2f}, {clip.duration_s:.1f} s heard)\n")
    return 0 if is_marked else UNMARKED_EXIT


def _clip(file: Path) -> "Clip":
    from chatterbox.audio.decode import Decoder

    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InvalidRequest(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {file}: {error.strerror}") from error
    return asyncio.run(Decoder().decode(data, max_seconds=MAX_LISTENED_S)).clip
