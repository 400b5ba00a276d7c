"""Keeps one worker process alive, and ends one that does not listen. Knows neither HTTP nor models."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import uuid

from .datafolder import DataFolder
from .jobs import Jobs

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "WAN_ANIMATE_TOKEN"

_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 10.0
"""After which a worker that does not hear a cancel, because it loads or compiles, is killed."""

_STOP_SECONDS = 7.0
"""After which a worker that does not hear that it is to stop is killed."""

_LONGEST_PAUSE = 30.0

_FAILED_STARTS = 3
"""After which the worker is taken to be broken, and what waits in the queue fails."""


class Supervisor:
    """One worker and the thread that watches it."""

    def __init__(self, data: DataFolder, jobs: Jobs, device: str) -> None:
        self._data, self._jobs, self._device = data, jobs, device
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._cancelled_since: dict[str, float] = {}
        self._failed_starts = 0

    def start(self) -> None:
        self._jobs.give_back_all()
        self._thread.start()

    def stop(self) -> None:
        """End the worker, its job back in the queue. Returns when its process is gone."""
        self._stopping.set()
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
        self._jobs.offer(())
        command = [sys.executable, "-m", "wan_animate_server.worker", "--data", str(self._data.root), "--name", name]
        environment = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
        with subprocess.Popen(
            [*command, "--device", self._device], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
        ) as process:
            try:
                self._look_after(process)
                if self._stopping.is_set():
                    _end(process)
            finally:
                process.kill()
        if self._stopping.is_set():
            self._jobs.give_back(name)
        else:
            log.warning("the worker ended (%s) and is started again", process.returncode)
            self._jobs.bury(name)
            self._judge_start(process.returncode)

    def _judge_start(self, code: int) -> None:
        """A worker that gets ready offers its models; one that never does is broken, not unlucky."""
        self._failed_starts = 0 if self._jobs.models() else self._failed_starts + 1
        if self._failed_starts >= _FAILED_STARTS:
            self._jobs.fail_queued(
                f"the server's worker does not start (it ended {self._failed_starts} times, last with exit code "
                f"{code}); the server's log tells why"
            )

    def _look_after(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the worker ended, was killed, or is to stop."""
        while process.poll() is None and not self._stopping.wait(_LOOK_SECONDS):
            if self._ignores_a_cancel():
                log.warning("the worker did not hear a cancel for %.0f s and is killed", _CANCEL_SECONDS)
                process.kill()

    def _ignores_a_cancel(self) -> bool:
        now = time.monotonic()
        since = {job: self._cancelled_since.get(job, now) for job in self._jobs.cancelling()}
        self._cancelled_since = since
        return any(now - start > _CANCEL_SECONDS for start in since.values())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
