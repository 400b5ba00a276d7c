"""What is known of jobs, as a server and the folders of a farm last said it. Knows neither bpy nor threads.

Written by the session's thread, read by anybody; nobody is asked while nobody looks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from .client import NoAnswer, Server
from .delivery import AWAY, backoff, pause
from .session import Cancelled, Step, Work
from .wire import Job, JobState

NEWEST = 500
"""Jobs that are listed: the last that came."""

LOOK_SECONDS = 2.0
"""Between two questions, and so between two pictures."""

ATTENTION_SECONDS = 10.0
"""How long a look counts."""


@dataclass(frozen=True)
class Picture:
    """A PNG of what a job is making."""

    job: str
    data: bytes


NOTHING = Picture("", b"")


class Board:
    """The jobs of one server, and the shots that were submitted to a farm. Each attribute is replaced as a whole."""

    def __init__(self) -> None:
        self.jobs: tuple[Job, ...] = ()
        """Of the server."""
        self.submitted: tuple[Job, ...] = ()
        """What `farm.watch` says of shots; their ids are no server's."""
        self.hindrance = ""
        """Why what is known of those is old."""
        self.picture = NOTHING
        """Of the selected job; the last one that there was."""
        self.selected = ""
        """Id of the job whose picture is wanted."""
        self.version = ""
        """The server's."""
        self.problem = ""
        """Why what is known is old; empty while it is not."""
        self._until = 0.0

    def look(self) -> None:
        """Somebody looks: have this kept up to date for a while."""
        self._until = time.monotonic() + ATTENTION_SECONDS

    @property
    def is_looked_at(self) -> bool:
        return time.monotonic() < self._until

    @property
    def everything(self) -> tuple[Job, ...]:
        """All that is known, the oldest first."""
        return tuple(sorted((*self.jobs, *self.submitted), key=lambda job: job.created))

    def find(self, job: str) -> Job | None:
        return next((one for one in (*self.jobs, *self.submitted) if one.id == job), None)

    def follow(self, server: Server, cancelled: Cancelled) -> Work[str]:
        """Ask again and again while somebody looks; a step says that something is new.

        Raises what `Server.jobs` raises, but waits for a server that does not answer.
        """
        pauses = backoff()
        while self.is_looked_at and not cancelled.is_set():
            before = self.jobs, self.picture, self.problem
            try:
                self._ask(server)
                pauses, rest = backoff(), LOOK_SECONDS
            except NoAnswer:
                self.problem, rest = AWAY, next(pauses)
            if before != (self.jobs, self.picture, self.problem):
                yield Step(stage="listed", progress=1.0)
            yield from pause(rest, cancelled)
        return ""

    def _ask(self, server: Server) -> None:
        if not self.version:
            self.version = server.health().version
        self.jobs, self.problem = server.jobs(NEWEST), ""
        job = next((one for one in self.jobs if one.id == self.selected), None)
        if job is None or job.id != self.picture.job:
            self.picture = NOTHING
        if job and job.state is JobState.RUNNING and (data := server.preview(job.id)):
            self.picture = Picture(job.id, data)


def spoken(job: Job) -> list[str]:
    """Where a job stands, such as "denoising", "segment 2 of 3", "4 min left"."""
    parts: list[str] = [job.stage or job.state]
    if job.segments > 1 and not job.state.is_final:
        parts.append(f"segment {job.segment} of {job.segments}")
    if job.seconds_left:
        minutes, seconds = divmod(round(job.seconds_left), 60)
        parts.append(f"{minutes} min left" if minutes else f"{seconds} s left")
    return parts
