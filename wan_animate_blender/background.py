"""An export in a Blender of its own, over a saved copy of the file, so that the window never waits for it.

`export` runs in the session's thread and leaves bpy alone; the others belong to the main thread.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, cast

import bpy

from . import export as exporter
from .export import Request
from .session import Cancelled, Step, Work
from .wire import (
    OWNER_FILE,
    SHOT_FILE,
    BadInput,
    ExitCode,
    Interrupted,
    Problem,
    TryElsewhere,
    Unavailable,
)

KILL_SECONDS = 5
"""How long a background Blender may take to end by itself before it is killed."""

PROBLEMS: dict[int, type[Problem]] = {
    kind.exit_code: kind for kind in (BadInput, Unavailable, TryElsewhere, Interrupted)
}


def in_place(request: Request, tell: Callable[[Step], None]) -> Path:
    """Export in this very Blender, where there is no window to keep alive. Returns the folder."""
    progress = exporter.export(request)
    try:
        while True:
            now = next(progress)
            tell(Step(stage="exporting", progress=now.done / now.total, message=now.what))
    except StopIteration as end:
        return cast(Path, end.value)
    finally:
        progress.close()


def save_copy() -> Path:
    """Save the file as it is in memory, with its paths set right, into a folder of its own. Raises `BadInput`."""
    folder = Path(tempfile.mkdtemp(prefix="wan-animate-"))
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / "export.blend"), copy=True, relative_remap=True)
    except RuntimeError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(f"cannot save a copy of the file to {folder} ({error}); make room there") from error
    return folder / "export.blend"


def command(copy: Path, request: Request) -> list[str]:
    """The command line of a background Blender that does `request` over a `copy` of the file."""
    what = ["--scene", request.scene.name, "--strip", request.strip.name, "--out", str(request.root), "--json"]
    blender = [bpy.app.binary_path, "-b", str(copy), "--python-exit-code", str(int(ExitCode.BUG))]
    return [*blender, "--command", "wan_animate", "export", *what]


def export(arguments: list[str], copy: Path, shot: Path, cancelled: Cancelled) -> Work[Path]:
    """Run `arguments` and return the folder that was exported below `shot`. `copy` and its folder are removed."""
    log = copy.with_suffix(".log")
    process = None
    try:
        # To a file and not through a pipe: a file can be read as far as it goes, on every system, without waiting.
        with log.open("w", encoding="utf-8") as output:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        with log.open(encoding="utf-8", errors="replace") as output:
            return (yield from _follow(process, output, cancelled))
    except OSError as error:
        raise Unavailable(f"cannot start a background Blender ({error}); is {arguments[0]} still there?") from error
    finally:
        if process:
            _stop(process)
            _remove_partial(shot, process.pid)
        shutil.rmtree(copy.parent, ignore_errors=True)


def _follow(process: subprocess.Popen[bytes], output: TextIO, cancelled: Cancelled) -> Work[Path]:
    """Say what the process says until it ends; its last word is the folder or the problem."""
    last: dict[str, str] = {}
    running = True
    while running:
        if cancelled.is_set():
            raise Interrupted("the export was cancelled; nothing of it is left")
        running = process.poll() is None
        for said in _said(output):
            last = said
            if said["stage"] not in ("done", "failed"):
                yield Step(stage=said["stage"], progress=float(said["progress"]), message=said["message"])
        yield None
    if process.returncode == ExitCode.DONE and last.get("stage") == "done":
        return Path(last["export"])
    if last.get("stage") == "failed":
        raise PROBLEMS.get(process.returncode, Problem)(last["message"])
    raise Unavailable(
        f"the background Blender ended with {process.returncode} before the export was done; "
        "save the preferences with Wan Animate enabled, or run 'blender --command wan_animate export' to see why"
    )


def _said(output: TextIO) -> Iterator[dict[str, str]]:
    """The progress lines that arrived since the last call, out of all that Blender prints."""
    while True:
        begin = output.tell()
        line = output.readline()
        if not line.endswith("\n"):
            output.seek(begin)
            return
        # Blender's own buffer may end in the middle of a line of its own, right before one of ours.
        _, brace, rest = line.partition('{"stage"')
        if brace:
            yield json.loads(brace + rest)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _remove_partial(shot: Path, pid: int) -> None:
    """Remove the export that the killed process `pid` had begun; a finished one has its `shot.json`."""
    for owner in shot.glob(f"e*/{OWNER_FILE}"):
        mine = json.loads(owner.read_bytes()).get("pid") == pid
        if mine and not (owner.parent / SHOT_FILE).exists():
            shutil.rmtree(owner.parent, ignore_errors=True)
