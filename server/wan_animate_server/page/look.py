"""What everybody who has the page open sees of the queue, looked up once for all of them. Knows no HTTP."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass

from wan_animate_blender.wire import Device, Job, JobState, Queue

from ..jobs import Jobs
from ..roster import Roster

SECONDS = 0.5
"""Time between two looks at a queue that somebody watches."""

_SHOWN = 100
"""Most jobs on the page, the newest ones."""


@dataclass(frozen=True)
class Seen:
    """The server at one moment."""

    jobs: tuple[Job, ...]
    """What is rendered, what waits in its order, what was put aside, and what has ended, the newest first."""
    devices: tuple[Device, ...]
    queue: Queue


class Look:
    """For several threads."""

    def __init__(self, jobs: Jobs, roster: Roster) -> None:
        self._jobs, self._roster = jobs, roster
        self._lock = threading.Lock()
        self._at, self._seen = time.monotonic(), self._now()

    def fresh(self) -> Seen:
        """The server as it is now; nobody is shown anything older from here on."""
        with self._lock:
            self._at, self._seen = time.monotonic(), self._now()
            return self._seen

    def recent(self) -> Seen:
        """The server as it was a moment ago, however many ask."""
        with self._lock:
            if time.monotonic() - self._at > 0.9 * SECONDS:
                self._at, self._seen = time.monotonic(), self._now()
            return self._seen

    def _now(self) -> Seen:
        return Seen(_sorted(self._jobs.all(_SHOWN)), tuple(self._roster.devices()), self._jobs.queue())


def _sorted(jobs: list[Job]) -> tuple[Job, ...]:
    ended = [job for job in reversed(jobs) if job.state.is_final]
    return (*sorted((job for job in jobs if not job.state.is_final), key=_turn), *ended)


def _turn(job: Job) -> tuple[bool, int]:
    return job.state in (JobState.QUEUED, JobState.PAUSED), job.place or sys.maxsize
