"""The process beside the GPU: claims jobs one by one and renders them, the model staying loaded. Knows no HTTP.

`python -m wan_animate_server.worker --data DIR` is started by `supervisor`, which also starts it again, and kills it
when its heart stops. It ends at the next check when it is told to (SIGTERM) or when its parent dies (the end of its
standard input); its job then returns to the queue and goes on at the segment where it stood.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from wan_animate_blender.wire import ExitCode, Interrupted, Job, JobState, Problem, TakeState

from . import joblog, journal
from .blobs import Blobs
from .capacity import Capacity
from .database import NoRoom, insist
from .datafolder import DataFolder
from .forecast import device_name
from .installed import installed
from .jobs import Jobs
from .loaded import MODEL
from .ownership import disown
from .progress import Progress
from .render import render
from .roster import Condition, Roster
from .shot import Damaged
from .take import newest_take, read_take
from .weights import find_device

log = logging.getLogger(__name__)

T = TypeVar("T")

_IDLE_SECONDS = 0.2
_LOOK_SECONDS = 0.1
"""Time between two looks into the queue, idle and while a model computes."""

_BEAT_SECONDS = 1.0

_GRACE_SECONDS = 8.0
"""After which a worker whose parent died, or that was told to stop, ends in the middle of a step."""


@dataclass
class Worker:
    """One worker; `name` tells its jobs from those of all others, also of earlier ones."""

    name: str
    data: DataFolder
    device: str
    stop: threading.Event
    _looked: float = field(default=0.0, init=False)
    _beaten: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.data.queue)
        self.roster = Roster(self.jobs.database)

    def work(self) -> ExitCode:
        """Render queued jobs until told to stop."""
        device = find_device(self.device)
        self._insist(lambda: self.roster.sign_on(self.name, self.device, os.getpid(), device_name(device), installed()))
        while not self.stop.is_set():
            job = self._insist(self._claim)
            if job is None:
                self.stop.wait(_IDLE_SECONDS)
            elif not self.render(job):
                return ExitCode.BUG
        return ExitCode.DONE

    def _claim(self) -> Job | None:
        self._beat()
        return self.jobs.claim(self.name)

    def _insist(self, action: Callable[[], T]) -> T | None:
        return insist(action, self.stop)

    def _beat(self) -> None:
        """Show that this worker's thread of work goes round, at most once a second."""
        if time.monotonic() - self._beaten < _BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        memory, free = memory_of(self.device)
        self.roster.beat(self.name, Condition(memory=memory, free=free, loaded=MODEL.words))

    def render(self, job: Job) -> bool:
        """Take `job` to one of its final states, or back to the queue when told to stop. False after a bug of ours."""
        with journal.about(job.id), joblog.kept(self.data.log(job.id)):
            return self._rendered(job)

    def _rendered(self, job: Job) -> bool:
        log.info("rendering %s", job.shot)
        try:
            self._render(job)
        except Interrupted:
            log.info("stopped")
            self._insist(lambda: self.jobs.give_back(self.name))
        except Problem as error:
            log.info("failed: %s", error)
            if isinstance(error, Damaged):  # whoever sends the shot again is asked for that file, then
                Blobs(self.data.blobs, Capacity(self.data.root, None)).check(error.sha256)
            self._end(job, JobState.FAILED, str(error), error.exit_code)
        # The only broad except: one bad job must not stop the queue. What it left of the device is unknown, so the
        # process ends, and the next job gets a fresh one.
        except Exception as error:
            log.exception("failed by a bug")
            self._end(
                job, JobState.FAILED, f"the server has a bug ({type(error).__name__}: {error}); its log tells more",
                ExitCode.BUG,
            )  # fmt: skip
            return False
        else:
            log.info("done")
            self._end(job, JobState.DONE)
        return True

    def _end(self, job: Job, state: JobState, message: str = "", code: int = 0) -> None:
        """Kept up until there is room to write it down; when this worker ends before, the job is back in the queue."""
        self._insist(lambda: self.jobs.finish(job.id, self.name, state, message, code))

    def _render(self, job: Job) -> None:
        handed = self.jobs.folder(job.id)
        if handed and self.data.in_place:
            progress = render(handed, device=self.device, check=lambda: self._check(job), resume=True)
        elif self._is_made(job):
            return
        else:
            progress = render(
                handed or self.data.export(job.id, job.shot),
                takes=self.data.takes(job.id, job.shot),
                segments=self.data.segments,
                device=self.device,
                check=lambda: self._check(job),
                retake=job.retake,
                base=self.data.base_of(job.id, job.shot),
            )
        for now in joblog.told(progress):
            self._report(job, now)
            if now.progress < 1:  # a take that is whole is not made again because somebody stopped a moment later
                self._check(job)

    def _is_made(self, job: Job) -> bool:
        """Whether a worker before was killed after the take was whole, and before it could say so."""
        folder = newest_take(self.data.takes(job.id, job.shot))
        take = folder and read_take(folder)
        if not folder or not take or take.state is not TakeState.COMPLETE:
            return False
        disown(folder)
        self._report(job, Progress(stage="done", progress=1.0, frames=take.last - take.first + 1))
        return True

    def _report(self, job: Job, now: Progress) -> None:
        try:
            self.jobs.report(job.id, self.name, now)
        except NoRoom as error:  # news can wait; the frames' own disk says itself when it is full
            log.warning("%s", error)

    def _check(self, job: Job) -> None:
        """Raise `Interrupted` when the job or this worker is to stop. Cheap enough for every transformer block."""
        if self.stop.is_set():
            raise Interrupted("the server is stopping; the job goes on when it starts again")
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            self._beat()
            standing = self.jobs.standing(job.id, self.name)
        except NoRoom as error:
            log.warning("%s", error)
            return
        if standing is not JobState.RUNNING:
            raise Interrupted(f"the job {job.id} was cancelled or put aside")


def memory_of(device: str) -> tuple[int, int]:
    """Bytes that the device has and that are free there; of the host for the CPU."""
    if torch.device(device).type == "cuda":
        free, memory = torch.cuda.mem_get_info(device)
        return memory, free
    host = psutil.virtual_memory()
    return host.total, host.available


def _end_with_parent(stop: threading.Event) -> None:
    """Tell this worker to stop when the pipe that its parent holds closes."""
    while os.read(sys.stdin.fileno(), 1):  # not through sys.stdin, whose lock would break the interpreter's end
        pass
    _stop_soon(stop)


def _stop_soon(stop: threading.Event) -> None:
    """Stop at the next check, and after a while without one: a model that loads or compiles does not look up."""
    stop.set()
    timer = threading.Timer(_GRACE_SECONDS, os._exit, [ExitCode.TERMINATED])
    timer.daemon = True
    timer.start()


def main() -> int:
    parser = argparse.ArgumentParser(prog="wan_animate_server.worker", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--in-place", action="store_true")
    given = parser.parse_args()
    journal.keep(as_json=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _stop_soon(stop))
    # Ctrl-C reaches the whole terminal; the server hears it too and tells this worker what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    return Worker(given.name, DataFolder(given.data, given.in_place), given.device, stop).work()


if __name__ == "__main__":
    sys.exit(main())
