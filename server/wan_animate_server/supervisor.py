"""Keeps one worker process alive for each device, and ends one that does not listen. Knows neither HTTP nor models."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from . import journal
from .database import NoRoom, insist
from .datafolder import DataFolder
from .jobs import Jobs
from .roster import Roster

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "WAN_ANIMATE_TOKEN"

_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 10.0
"""After which a worker that does not hear that its job is to stop, because it loads or compiles, is killed."""

_STOP_SECONDS = 7.0
"""After which a worker that does not hear that it is to stop is killed."""

_LAST_WORDS_SECONDS = 1.0
"""For reading what a worker said before it ended."""

_START_SECONDS = 300.0
"""That a worker may take at least before its first sign of life: importing torch from a slow disk gives none."""

_LONGEST_PAUSE = 30.0

_FAILED_STARTS = 3
"""After which the worker is taken to be broken, and what waits in the queue fails."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker may not exceed."""

    silence: float = 900.0
    """Seconds without a sign of life. Reading a large model gives none, and takes minutes from a slow disk."""
    memory: int | None = None
    """Bytes of the host that the process may hold; None for no limit."""


class Supervisor:
    """One worker for each device that is named; several may be named alike."""

    def __init__(self, data: DataFolder, jobs: Jobs, devices: Sequence[str], limits: Limits = Limits()) -> None:
        self._jobs, self._roster = jobs, Roster(jobs.database)
        self._posts = [_Post(data, jobs, device, limits) for device in devices]

    def start(self) -> None:
        """Raises `NoRoom` when what a server before left behind cannot be set right."""
        self._jobs.give_back_all()
        self._roster.strike()
        for post in self._posts:
            post.start()

    def stop(self) -> None:
        """End all workers, their jobs back in the queue. Returns when their processes are gone."""
        for post in self._posts:
            post.ask_to_stop()
        for post in self._posts:
            post.wait()


class _Post:
    """The place of one worker, and the thread that sees to it that somebody is there."""

    def __init__(self, data: DataFolder, jobs: Jobs, device: str, limits: Limits) -> None:
        self._data, self._jobs, self._device, self._limits = data, jobs, device, limits
        self._roster = Roster(jobs.database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"supervisor of {device}", daemon=True)
        self._failed_starts = 0

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def wait(self) -> None:
        self._thread.join()

    def _watch(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            started = time.monotonic()
            self._run_one()
            # A worker that cannot start (no memory, a broken driver) is not started in a tight circle.
            pause = 0.0 if time.monotonic() - started > _LONGEST_PAUSE else min(2 * pause + 0.5, _LONGEST_PAUSE)

    def _run_one(self) -> None:
        """Start a worker and see it to its end."""
        name = uuid.uuid4().hex
        command = [sys.executable, "-m", "wan_animate_server.worker", "--data", str(self._data.root), "--name", name]
        if self._data.in_place:
            command.append("--in-place")
        environment = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
        with subprocess.Popen(
            [*command, "--device", self._device], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment,
        ) as process:  # fmt: skip
            ear = threading.Thread(target=journal.relay, args=(process.stderr, f"worker {self._device}"), daemon=True)
            ear.start()
            try:
                why = self._look_after(process, name)
                if self._stopping.is_set():
                    _end(process)
            finally:
                process.kill()
                ear.join(_LAST_WORDS_SECONDS)
        self._clear(name, process.returncode, why)

    def _clear(self, name: str, code: int, why: str) -> None:
        """Write down that a worker has ended: its job must not wait for it."""
        if self._stopping.is_set():
            # A full disk may keep this from being written; the next start of the server does it then.
            with suppress(NoRoom):
                self._jobs.give_back(name)
                self._roster.strike(name)
            return
        words = "the worker for %s is started again: %s (exit code %s)"
        log.warning(words, self._device, why, code, extra={"job": self._jobs.held(name)})
        self._insist(lambda: self._jobs.bury(name, why))
        self._judge_start(name, code)
        self._insist(lambda: self._roster.strike(name))

    def _insist(self, action: Callable[[], None]) -> None:
        insist(action, self._stopping)

    def _judge_start(self, name: str, code: int) -> None:
        """A worker that gets ready signs on; one that never does is broken, not unlucky."""
        self._failed_starts = 0 if self._roster.beats(name) is not None else self._failed_starts + 1
        if self._failed_starts >= _FAILED_STARTS and not self._roster.models():
            sentence = (
                f"the server's worker does not start (it ended {self._failed_starts} times, last with exit code "
                f"{code}); the server's log tells why"
            )
            self._insist(lambda: self._jobs.fail_queued(sentence))

    def _look_after(self, process: subprocess.Popen[bytes], name: str) -> str:
        """Return why the worker ended or was killed; anything when it is to stop."""
        watch = _Watch(process.pid, name, self._jobs, self._roster, self._limits)
        while process.poll() is None and not self._stopping.wait(_LOOK_SECONDS):
            try:
                fault = watch.fault()
            except NoRoom as error:
                log.warning("%s", error)
                continue
            if fault:
                process.kill()
                process.wait()
                return fault
        return "the worker died"


class _Watch:
    """What is known of one worker, look by look."""

    def __init__(self, pid: int, name: str, jobs: Jobs, roster: Roster, limits: Limits) -> None:
        self._pid, self._name, self._jobs, self._roster, self._limits = pid, name, jobs, roster, limits
        self._asked: dict[str, float] = {}
        """When each job that is to stop was first seen to be."""
        self._beats: int | None = None
        self._heard = time.monotonic()

    def fault(self) -> str:
        """Why the worker must be killed, the beginning of a sentence; "" while it need not."""
        now = time.monotonic()
        beats = self._roster.beats(self._name)
        if beats != self._beats:
            self._beats, self._heard = beats, now
        self._asked = {job: self._asked.get(job, now) for job in self._jobs.stopping(self._name)}
        if any(now - since > _CANCEL_SECONDS for since in self._asked.values()):
            return f"the worker was killed because it did not hear for {_CANCEL_SECONDS:.0f} s that it was to stop"
        silence = self._limits.silence if beats is not None else max(self._limits.silence, _START_SECONDS)
        if now - self._heard > silence:
            return f"the worker was killed because it gave no sign of life for {silence:.0f} s"
        if self._limits.memory is not None and (held := _resident(self._pid)) > self._limits.memory:
            return (
                f"the worker was killed because it held {held / 1e9:.1f} GB of memory, "
                f"{self._limits.memory / 1e9:.1f} GB are allowed"
            )
        return ""


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 for one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
