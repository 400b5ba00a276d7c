"""The process beside the GPU: claims jobs one by one and renders them, the model staying loaded. Knows no HTTP.

`python -m wan_animate_server.worker --data DIR` is started by `supervisor`, which also starts it again. It ends at the
next check when it is told to (SIGTERM) or when its parent dies (the end of its standard input); its job then returns
to the queue and goes on at the segment where it stood.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from wan_animate_blender.wire import ExitCode, Interrupted, Job, JobState, Problem

from .datafolder import DataFolder
from .installed import installed
from .jobs import Jobs
from .render import render

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.2
_LOOK_SECONDS = 0.1
"""Time between two looks into the queue, idle and while a model computes."""

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

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.data.queue)

    def work(self) -> ExitCode:
        """Render queued jobs until told to stop."""
        self.jobs.offer(installed())
        while not self.stop.is_set():
            job = self.jobs.claim(self.name)
            if job is None:
                self.stop.wait(_IDLE_SECONDS)
            elif not self.render(job):
                return ExitCode.BUG
        return ExitCode.DONE

    def render(self, job: Job) -> bool:
        """Take `job` to one of its final states, or back to the queue when told to stop. False after a bug of ours."""
        log.info("job %s: rendering %s", job.id, job.shot)
        try:
            self._render(job)
        except Interrupted:
            log.info("job %s: stopped", job.id)
            self.jobs.give_back(self.name)
        except Problem as error:
            log.info("job %s: failed: %s", job.id, error)
            self.jobs.finish(job.id, self.name, JobState.FAILED, str(error))
        # The only broad except: one bad job must not stop the queue. What it left of the device is unknown, so the
        # process ends, and the next job gets a fresh one.
        except Exception as error:
            log.exception("job %s: failed by a bug", job.id)
            sentence = f"the server has a bug ({type(error).__name__}: {error}); its log tells more"
            self.jobs.finish(job.id, self.name, JobState.FAILED, sentence)
            return False
        else:
            log.info("job %s: done", job.id)
            self.jobs.finish(job.id, self.name, JobState.DONE)
        return True

    def _render(self, job: Job) -> None:
        progress = render(
            self.data.export(job.id, job.shot),
            takes=self.data.takes(job.id, job.shot),
            segments=self.data.segments,
            device=self.device,
            check=lambda: self._check(job),
        )
        for now in progress:
            self.jobs.report(job.id, self.name, now)
            self._check(job)

    def _check(self, job: Job) -> None:
        """Raise `Interrupted` when the job or this worker is to stop. Cheap enough for every transformer block."""
        if self.stop.is_set():
            raise Interrupted("the server is stopping; the job goes on when it starts again")
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if self.jobs.standing(job.id, self.name) is not JobState.RUNNING:
            raise Interrupted(f"the job {job.id} was cancelled")


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
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: _stop_soon(stop))
    # Ctrl-C reaches the whole terminal; the server hears it too and tells this worker what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    return Worker(given.name, DataFolder(given.data), given.device, stop).work()


if __name__ == "__main__":
    sys.exit(main())
