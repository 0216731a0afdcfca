"""The progress bar of `chatterbox say` and `chatterbox convert`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Report:
    """What the progress bar is told; without a bar, nothing happens."""

    def __init__(
        self, progress: Progress | None, expected_s: float | None, *, doing: str = "speaking"
    ) -> None:
        self._progress = progress
        self._audio_s = 0.0
        if progress is not None:
            self._task = progress.add_task(doing, total=expected_s, spoken="0.0 s")

    def spoke_until(self, seconds: float) -> None:
        """Move the bar to where the audio is."""
        self._audio_s = seconds
        if self._progress is not None:
            self._progress.update(
                self._task, completed=self._audio_s, spoken=f"{self._audio_s:.1f} s"
            )

    def finished(self) -> None:
        """Fill the bar: its length was a guess."""
        if self._progress is not None:
            self._progress.update(self._task, total=self._audio_s, completed=self._audio_s)

    def warn(self, message: str) -> None:
        """Show a warning above the bar, or as a line."""
        if self._progress is not None:
            self._progress.console.print(f"warning: {message}", markup=False, highlight=False)
        else:
            sys.stderr.write(f"warning: {message}\n")


@contextmanager
def progress_bar(expected_s: float | None, *, doing: str = "speaking") -> Iterator[Report]:
    """A bar on standard error while the context lasts, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Report(None, expected_s)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[spoken]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Report(progress, expected_s, doing=doing)
