"""Who started this process, and whether he still lives: what a farm starts must not outlive it. Knows no work."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from _thread import interrupt_main
from collections.abc import Sequence

import psutil

from wan_animate_blender.wire import ExitCode

GRACE_SECONDS = 9.0
"""In which a command that is told to stop writes down what it has; farms kill soon after."""

_LOOK_SECONDS = 0.5

_GO_BETWEENS = frozenset({"sudo", "su", "doas", "runuser", "setsid"})
"""Start something for somebody else and end with it."""


class Starter:
    """A process that lives now, told from a later one with its number."""

    def __init__(self, process: psutil.Process) -> None:
        self.pid = process.pid
        self._process = process

    @classmethod
    def of(cls, pid: int) -> Starter | None:
        """None when it has ended, or is the system itself, which ends last."""
        if pid <= 1:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            return cls(psutil.Process(pid))
        return None

    @property
    def lives(self) -> bool:
        try:
            return bool(self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def of_session() -> Starter | None:
    """Whoever runs the session that this process belongs to; None when that is the system.

    Farms start every action as the leader of a session of processes of its own (openjd-sessions, `_subprocess.py`:
    `start_new_session`), perhaps as another user, and perhaps as a script that starts this process. So it is the parent
    of the leader, past those who only change the user.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        process = _leader().parent()
        while process and process.name() in _GO_BETWEENS:
            process = process.parent()
        return Starter.of(process.pid) if process else None
    return None


def _leader() -> psutil.Process:
    """The first process of this one's session; itself where there is no such thing or it is not seen from here."""
    if os.name == "posix":
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(os.getsid(0) or os.getpid())
    return psutil.Process()


@functools.cache
def end_in_time() -> None:
    """End at the latest `GRACE_SECONDS` after SIGTERM, deaf or not: Python hears signals only between two steps of its
    own, and a model that loads takes none for long. Only for the main thread of a command."""
    if os.name != "posix":
        return  # there a process that is to end is ended at once
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        while os.read(reading, 1) != bytes([signal.SIGTERM]):
            pass
        time.sleep(GRACE_SECONDS)
        os._exit(ExitCode.TERMINATED)

    threading.Thread(target=wait, name="end in time", daemon=True).start()


def end_with(starters: Sequence[Starter | None]) -> None:
    """End as by SIGTERM as soon as one of `starters` has ended."""
    watched = [starter for starter in starters if starter]

    def watch() -> None:
        while all(starter.lives for starter in watched):
            time.sleep(_LOOK_SECONDS)
        interrupt_main(signal.SIGTERM)

    if watched:
        threading.Thread(target=watch, name="end with the starter", daemon=True).start()
