"""What the terminal shows while the demo runs, and how long each stage took. Knows only what the stages say."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..progress import Stopwatch
from .children import Said


class Board:
    """One line for each stage, the last one moving. `seconds` has their times in order."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console)
        self._watch = Stopwatch()
        self._stage, self._task = "", TaskID(-1)

    @property
    def seconds(self) -> dict[str, float]:
        return self._watch.seconds

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, said: Said) -> None:
        """Take notice of one thing that a stage said: its "stage", perhaps its "progress", perhaps its "job"."""
        stage = said["stage"]
        if stage != self._stage:
            self.done()
            self._stage, self._task = stage, self._progress.add_task(stage, total=1.0)
        self._progress.update(self._task, completed=said.get("progress") or 0.0, description=stage + _where(said))

    def follow(self, sayings: Iterable[Said]) -> Said:
        """Show all `sayings`; the last one, which tells the result."""
        last: Said = {}
        for last in sayings:
            if last["stage"] not in ("done", "failed"):
                self.show(last)
        return last

    def done(self) -> None:
        """The stage that was shown last has ended."""
        if self._stage:
            self._progress.update(self._task, completed=1.0)
            self._watch.lap(self._stage)
        self._stage = ""


def _where(said: Said) -> str:
    job = said.get("job") or {}
    return f" {job['segment']}/{job['segments']}" if job.get("segments") else ""
