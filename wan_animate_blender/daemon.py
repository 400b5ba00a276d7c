"""The server of this machine: found, started beside Blender, stopped. Knows neither bpy nor jobs.

It is the person's and not the window's: it goes on when Blender is quit, and ends when it is told to.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .client import NoAnswer, Server
from .session import Cancelled, Step, Work
from .wire import BadInput, Interrupted, Problem, Unavailable, may_live

NAME = "wan-animate"
READY, LOG = "server.json", "server.log"
"""What the server writes when it answers, and all that it says, in the folder that it is started with."""

START_SECONDS, STOP_SECONDS = 120.0, 30.0
"""Longest time until it answers: the first start compiles; and until it has ended."""

BESIDE_PATH = ("~/.local/bin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where commands are that a program with an icon does not find."""

_children: list[subprocess.Popen[bytes]] = []
"""Those that were started here: asked how they are, for else they stay as zombies when they end."""


@dataclass(frozen=True)
class Running:
    """A server that was started from here."""

    url: str
    token_file: str
    """Empty when the token came by the environment."""
    pid: int

    @property
    def token(self) -> str:
        return Path(self.token_file).read_text(encoding="ascii").strip() if self.token_file else ""


def find(chosen: str) -> str:
    """The executable to start: the chosen one, or `wan-animate` where commands are. Raises `Unavailable`."""
    places = [os.environ.get("PATH", ""), *(str(Path(place).expanduser()) for place in BESIDE_PATH)]
    found = shutil.which(chosen or NAME, path=os.pathsep.join(places))
    if found:
        return found
    if chosen:
        raise Unavailable(f"{chosen} cannot be run; choose the file '{NAME}' of the server's installation")
    raise Unavailable(
        f"no '{NAME}' is found on this machine; install the server, or choose its executable in the preferences"
    )


def running(folder: Path) -> Running | None:
    """What was started with `folder` and has not ended, as far as can be told."""
    try:
        said = json.loads((folder / READY).read_bytes())
        found = Running(said["url"], said["token_file"] or "", int(said["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for child in _children:  # else those of this process that ended still seem to live
        child.poll()
    return found if may_live(found.pid) else None


def start(executable: str, folder: Path, port: int, device: str, cancelled: Cancelled) -> Work[str]:
    """Start a server that outlives this process; says when it answers. Raises its own sentence when it does not."""
    yield Step(stage="starting", progress=0.0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / READY).unlink(missing_ok=True)
    with (folder / LOG).open("wb") as log:
        process = _begin([executable, "serve", "--port", str(port), "--device", device,
                          "--ready-file", str(folder / READY)], log.fileno())  # fmt: skip
    try:
        yield from _until_ready(process, folder, cancelled)
    except Problem:
        process.terminate()
        process.wait(STOP_SECONDS)
        raise
    _children.append(process)
    return f"The server runs at {_expect(folder).url}, and goes on when Blender is quit"


def stop(folder: Path, server: Server) -> Work[str]:
    """End the server that was started with `folder`, which is the one that answers as `server`.

    Its job goes back to its queue. Raises `BadInput` when that is another process than was started.
    """
    yield Step(stage="stopping", progress=0.0)
    here = _expect(folder)
    if _answers(server):
        if server.health().pid != here.pid:
            raise BadInput(f"the server at {server.url} was not started from here; stop it where it was started")
        os.kill(here.pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _answers(server) or any(child.poll() is None for child in _children if child.pid == here.pid):
        if time.monotonic() > end:
            raise Unavailable(f"the server has not ended after {STOP_SECONDS:.0f} s; its log is {folder / LOG}")
        yield None
    (folder / READY).unlink(missing_ok=True)
    return "The server has ended; jobs that wait go on when it is started again"


def _begin(command: list[str], output: int) -> subprocess.Popen[bytes]:
    """A process that signals for this one do not reach."""
    apart = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, creationflags=apart
        )
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be run ({error.strerror or error}); choose another one") from error


def _until_ready(process: subprocess.Popen[bytes], folder: Path, cancelled: Cancelled) -> Work[None]:
    end = time.monotonic() + START_SECONDS
    while running(folder) is None:
        if cancelled.is_set():
            raise Interrupted("the server was not started")
        if process.poll() is not None:
            raise Unavailable(f"the server ended at once: {_last_words(folder)}")
        if time.monotonic() > end:
            raise Unavailable(f"the server does not answer after {START_SECONDS:.0f} s; its log is {folder / LOG}")
        yield None


def _last_words(folder: Path) -> str:
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")[:500]


def _expect(folder: Path) -> Running:
    found = running(folder)
    if found is None:
        raise BadInput("no server was started from here; stop it where it was started")
    return found


def _answers(server: Server) -> bool:
    with contextlib.suppress(NoAnswer):
        server.alive()
        return True
    return False
