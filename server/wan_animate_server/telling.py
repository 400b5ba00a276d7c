"""How a render in work is told: to a person, to a program, to a farm. Knows no render.

Whoever starts a render for a farm may be killed with all its promises; it is watched, so that nothing outlives it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from wan_animate_blender.wire import Dialect, Lines, Problem, one_line

from . import progress

Steps = Generator[progress.Progress, None, Path]


def as_json(steps: Steps) -> None:
    """One JSON object a line, the last one with the take."""
    folder = _follow(steps, lambda now: typer.echo(json.dumps(asdict(now), default=str)))
    typer.echo(json.dumps({"take": str(folder)}))


def as_lines(steps: Steps, dialect: Dialect) -> None:
    """Lines for the log of a farm; a failure is said there, too."""
    lines = Lines(dialect, _say)
    try:
        folder = _follow(steps, lambda now: lines.tell(now.progress, words(now)))
    except Problem as error:
        lines.fail(str(error))
        raise
    _say(one_line(str(folder)))


def as_bar(steps: Steps) -> None:
    """A bar on standard error for a person, the take on standard output."""
    columns = (
        TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0, left="")

        def show(now: progress.Progress) -> None:
            where = f" {now.segment}/{now.segments}" if now.segments else ""
            left = "" if now.seconds_left is None else f"about {now.seconds_left:.0f} s left"
            bar.update(task, description=now.stage + where, completed=now.progress, left=left)

        folder = _follow(steps, show)
    typer.echo(folder)


def words(now: progress.Progress) -> str:
    """What is being done, as "denoising, segment 2 of 3"; what is worth knowing goes before it."""
    if now.message:
        return now.message
    return f"{now.stage}, segment {now.segment} of {now.segments}" if now.segments else now.stage


def _say(line: str) -> None:
    """At once: a farm reads while the work goes on."""
    typer.echo(line)


def _follow(steps: Steps, show: Callable[[progress.Progress], None]) -> Path:
    """Run `steps` to their end and return what they return."""
    while True:
        try:
            show(next(steps))
        except StopIteration as end:
            return Path(end.value)
