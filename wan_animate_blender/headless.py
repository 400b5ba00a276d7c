"""What all verbs of the command line share: how they tell, go through a work to its end, and save the file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar, cast

import bpy

from .export import Progress
from .session import POLL_SECONDS, Cancelled, Step, Work
from .wire import BadInput, Dialect, Interrupted, Lines

T = TypeVar("T")
Tell = Callable[..., None]
"""Says one thing about how far the command is: a stage and what belongs to it."""


def teller(*, as_json: bool, dialect: Dialect | None) -> Tell:
    """Says what a command does to whoever reads its output; only a problem where nobody asked for more."""
    if as_json:
        return _tell_json
    if dialect is None:
        return tell_nothing
    lines = Lines(dialect, _write_line)

    def tell(stage: str, *, progress: float = 1.0, whole: float = 0.0, message: str = "", **_: object) -> None:
        if stage == "failed":
            lines.fail(message)
        else:
            lines.tell(whole or progress, f"{stage} {message}")

    return tell


def _write_line(line: str) -> None:
    """On a line of its own: Blender's own buffer may have ended in the middle of one."""
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def _tell_json(stage: str, **what: object) -> None:
    sys.stdout.write(json.dumps({"stage": stage, **what}) + "\n")
    sys.stdout.flush()


def tell_nothing(stage: str, **what: object) -> None:
    """Then only a problem is said."""


def run(work: Work[T], tell: Tell, receive: Callable[[Step], None] = lambda _: None) -> T:
    """Go through a work to its end; what it returns. `receive` is given every step beside being told."""
    try:
        while True:
            step = next(work)
            if step is None:
                time.sleep(POLL_SECONDS)
            else:
                receive(step)
                _tell_step(step, tell)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        work.close()


def _tell_step(step: Step, tell: Tell) -> None:
    job = step.job.to_json() if step.job else None
    tell(step.stage, progress=step.progress, whole=step.whole, person=step.person, message=step.message, job=job)


def exporting(progress: Generator[Progress, None, Path], cancelled: Cancelled) -> Work[Path]:
    """An export in this very Blender, where there is no window to keep alive; returns its folder."""
    try:
        while True:
            if cancelled.is_set():
                raise Interrupted("the export was cancelled; nothing of it is left")
            now = next(progress)
            yield Step(stage="exporting", progress=now.done / now.total, message=now.what)
    except StopIteration as end:
        return cast(Path, end.value)
    finally:
        progress.close()


def save() -> None:
    """Save the file under its name. Raises `BadInput` when it has none, or cannot be written."""
    if not bpy.data.filepath:
        raise BadInput("the file was never saved, so that nothing can be kept in it; save it first")
    try:
        bpy.ops.wm.save_mainfile()
    except RuntimeError as error:
        raise BadInput(f"cannot save {bpy.data.filepath} ({error}); make it writable") from error


def save_copy(file: Path) -> None:
    """Save the file as it is in memory under another name, its relative paths set right. Raises `BadInput`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(file), copy=True, relative_remap=True)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"cannot save a copy of the file as {file} ({error}); make room there") from error
