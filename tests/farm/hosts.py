"""Render hosts of a farm that share storage: processes that think they are on another machine, with another clock."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import OWNER_FILE, TAKE_FILE, Take

from ..serving import waits

PATIENCE = 600.0
"""Seconds for a state to come: several processes that load torch on a busy machine take minutes."""

_HOST = """
import socket, sys, time
host, beat, watch, skew = sys.argv.pop(1), *(float(sys.argv.pop(1)) for _ in range(3))
socket.gethostname = lambda: host
now = time.time
time.time = lambda: now() + skew
from wan_animate_server import pulse
pulse.BEAT_SECONDS, pulse.WATCH_SECONDS = beat, watch
from wan_animate_server.__main__ import main
sys.exit(main())
"""


def on(host: str, *arguments: str | Path, beat: float = 0.1, watch: float = 0.5, skew: float = 0.0) -> list[str]:
    """The words that run `wan-animate` on `host`, whose clock is `skew` seconds wrong.

    It beats every `beat` seconds, and watches others for `watch`: long where the other one lives, short where not.
    """
    return [sys.executable, "-c", _HOST, host, str(beat), str(watch), str(skew), *map(str, arguments)]


@contextlib.contextmanager
def started(words: list[str], hold: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose renders wait where `held(hold)` says; ended with the block, if not before."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | waits(hold) | environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that nobody holds, at its end."""
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)


def until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a state; `process` must not end before it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        assert process is None or process.poll() is None, process and process.communicate()
        time.sleep(0.02)


def take_of(export: Path, version: str = "v001") -> Take | None:
    """The take of an export; None while it says nothing."""
    file = export.parent / "takes" / version / TAKE_FILE
    return Take.loads(file.read_bytes()) if file.exists() else None


def has_frames(export: Path) -> Callable[[], bool]:
    def look() -> bool:
        take = take_of(export)
        return bool(take and take.sequence("comp"))

    return look


def owner_of(export: Path) -> dict[str, Any]:
    """The record of whoever makes the first take."""
    said: dict[str, Any] = json.loads((export.parent / "takes" / "v001" / OWNER_FILE).read_bytes())
    return said


def pictures(export: Path) -> dict[str, str]:
    """SHA-256 of every frame that the first take lists."""
    take = take_of(export)
    assert take is not None
    return {path: take.files[path].sha256 for layer in take.layers for path in take.sequence(layer)}


def everything(export: Path) -> dict[str, tuple[int, bytes]]:
    """All files of all takes, when they were written and what is in them."""
    files = sorted(p for p in (export.parent / "takes").rglob("*") if p.is_file())
    return {str(p.relative_to(export.parent)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def versions_of(export: Path) -> list[str]:
    return sorted(path.name for path in (export.parent / "takes").iterdir())


def stand_still(process: subprocess.Popen[str]) -> None:
    """Suspend a process, as a laptop's lid or a virtual machine's host does."""
    process.send_signal(signal.SIGSTOP)
    until(lambda: "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text())
