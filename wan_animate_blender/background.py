"""An export in a Blender of its own, over a saved copy of the file, so that the window never waits for it.

`export` runs in the session's thread and leaves bpy alone; the others belong to the main thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import bpy

from . import commission, drivers, headless, pose
from .commission import Request
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

END_SECONDS, KILL_SECONDS = 1.0, 8.0
"""How long a background Blender may take to end by itself before it is killed, and then until it is gone."""

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)

PREFIX, COPY = "wan-animate-export-", "export.blend"
"""Names of the folder for temporary files, and of the copy in it."""

PROBLEMS: dict[int, type[Problem]] = {
    kind.exit_code: kind for kind in (BadInput, Unavailable, TryElsewhere, Interrupted)
}

Folder = tempfile.TemporaryDirectory[str]
"""Goes away with whoever holds it, also when the work that was to use it never began."""


def save_copy() -> Folder:
    """Save the file as it is in memory, with its paths set right, into a folder of its own. Raises `BadInput`."""
    folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    try:
        headless.save_copy(Path(folder.name, COPY))
    except BadInput:
        folder.cleanup()
        raise
    return folder


def blender(folder: Folder, requests: Sequence[Request]) -> list[str]:
    """How to start a background Blender over the copy in `folder`; it may run scripts if this one runs them."""
    if not bpy.app.binary_path:
        raise Unavailable(
            "this is Blender as a Python module, which has no window and no executable to export beside it; "
            "run the command 'generate' instead"
        )
    scripts = "--enable-autoexec" if drivers.scripts_run(_posed(requests)) else "--disable-autoexec"
    copy = str(Path(folder.name, COPY))
    return [bpy.app.binary_path, scripts, "-b", copy, "--python-exit-code", str(int(ExitCode.BUG))]


def _posed(requests: Sequence[Request]) -> list[bpy.types.Object]:
    """The rigs that are seen in a window's view layer, where their drivers are evaluated."""
    views = [commission.view(request) for request in requests]
    return [view.rig for view in views if view.rig.visible_get(view_layer=pose.layer(view))]


def command(request: Request) -> list[str]:
    """The words after `--command` for `request`, but for its base."""
    words = ["--scene", request.scene.name, "--strip", request.strip.name, "--person", request.person]
    if request.only:
        words += ["--only", str(request.only.start), str(request.only.stop)]
    return ["wan_animate", "export", *words, "--out", str(request.root), "--json", "--temporary"]


def export(arguments: list[str], folder: str, shot: Path, cancelled: Cancelled) -> Work[Path]:
    """Run the background Blender `arguments` over the copy in `folder`; returns what it exported below `shot`."""
    log = Path(folder, "export.log")
    process = None
    try:
        # To a file and not through a pipe: a file can be read as far as it goes, on every system, without waiting.
        with log.open("w", encoding="utf-8") as output:
            process = _start(arguments, folder, output)
        with log.open(encoding="utf-8", errors="replace") as output:
            return (yield from _follow(process, output, cancelled))
    except OSError as error:
        raise Unavailable(f"cannot start a background Blender ({error}); is {arguments[0]} still there?") from error
    finally:
        if process:
            _stop(process)
            _remove_partial(shot, process.pid)


def _start(arguments: list[str], folder: str, output: TextIO) -> subprocess.Popen[bytes]:
    """In a group of its own, with its temporary files in `folder`. Its input ends when this process does."""
    return subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": folder, "TEMP": folder, "TMP": folder},
        start_new_session=True,
    )


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
    """End the process and all that it may have started."""
    if process.stdin:
        process.stdin.close()
    for number, seconds in ((signal.SIGTERM, END_SECONDS), (KILL, KILL_SECONDS)):
        if process.poll() is None:
            _signal(process, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, number)
    else:  # Windows knows no groups; there a background Blender has no children
        process.send_signal(number)


def _remove_partial(shot: Path, pid: int) -> None:
    """Remove the export that the killed process `pid` had begun; a finished one has its `shot.json`."""
    for owner in shot.glob(f"e*/{OWNER_FILE}"):
        mine = json.loads(owner.read_bytes()).get("pid") == pid
        if mine and not (owner.parent / SHOT_FILE).exists():
            shutil.rmtree(owner.parent, ignore_errors=True)
