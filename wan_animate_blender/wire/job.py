"""A render in a server's queue, and what the server answers when it cannot. Knows neither shots nor takes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .messages import Message, expect
from .retake import Retake

WIRE_HEADER = "X-Wan-Animate-Wire"
"""HTTP header in which each side says its `WIRE_VERSION`."""


HIGHEST = 100
"""Of priorities; the lowest is its opposite."""


class JobState(enum.StrEnum):
    """Where a job stands. `QUEUED → RUNNING → DONE | FAILED | CANCELLED`; docs/server.md has all arrows."""

    QUEUED = "queued"
    """Waiting for a worker; also after an interruption, from where it will go on at the segment it reached."""
    RUNNING = "running"
    """A worker has it."""
    CANCELLING = "cancelling"
    """Somebody asked it to stop and its worker has not yet."""
    PAUSING = "pausing"
    """Somebody wants it out of the way and its worker has not stopped yet."""
    PAUSED = "paused"
    """It waits until somebody lets it go on, with what it had finished."""
    DONE = "done"
    """Its take is complete."""
    FAILED = "failed"
    """Its message says why."""
    CANCELLED = "cancelled"
    """It was stopped; finished segments are kept."""

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Job(Message):
    """A render in a server's queue, as it stands now."""

    id: str
    shot: str
    strip: str = ""
    state: JobState
    stage: str = ""
    """What is being done, in one or two words for people: "denoising", "decoding" …"""
    progress: float = 0.0
    """0 to 1."""
    segment: int = 0
    segments: int = 0
    step: int = 0
    steps: int = 0
    frames: int = 0
    """Frames of the take that can be fetched already."""
    seconds_left: float | None = None
    message: str = ""
    """Why it failed, or what is worth knowing."""
    code: int = 0
    """The `ExitCode` of a command that fails for the same reason; 0 while it has not, or where its workers died."""
    created: float = 0.0
    """Seconds since 1970."""
    by: str = ""
    """Name of the token with which it was sent."""
    priority: int = 0
    """−100 to 100; what has more is rendered first."""
    place: int = 0
    """Where it waits: 1 is rendered next. 0 when it does not."""
    preview: int = 0
    """Another number, another preview picture; 0 while there is none."""
    retake: Retake | None = None
    """Which frames of an earlier take it makes anew; None for a whole shot."""


@dataclass(frozen=True, kw_only=True)
class ErrorReply(Message):
    """Body of every HTTP answer that is not a success."""

    error: str
    """A word for programs: "unauthorised", "bad-shot", "missing-blobs", "wire-version", "not-found" …"""
    message: str
    """A sentence for people."""
    missing: tuple[str, ...] = ()
    """SHA-256 of the blobs to upload before the shot can be queued."""


@dataclass(frozen=True, kw_only=True)
class Handed(Message):
    """A shot that lies on the server's machine already: in place of the shot itself."""

    folder: str
    """Absolute path of an export below one of the server's roots."""


@dataclass(frozen=True, kw_only=True)
class Priority(Message):
    """How urgent a job is."""

    priority: int
    """−100 to 100."""

    def __post_init__(self) -> None:
        expect(abs(self.priority) <= HIGHEST, "priority", self.priority, f"a whole number from -{HIGHEST} to {HIGHEST}")


@dataclass(frozen=True, kw_only=True)
class Turn(Message):
    """Where a waiting job is to wait."""

    before: str | None = None
    """Id of the job that comes right after it; None for the front."""
