"""A render in a server's queue, and what the server answers when it cannot. Knows neither shots nor takes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .messages import Message

WIRE_HEADER = "X-Wan-Animate-Wire"
"""HTTP header in which each side says its `WIRE_VERSION`."""


class JobState(enum.StrEnum):
    """Where a job stands. `QUEUED → RUNNING → DONE | FAILED | CANCELLED`, with `CANCELLING` on the way to the last."""

    QUEUED = "queued"
    """Waiting for a worker; also after an interruption, from where it will go on at the segment it reached."""
    RUNNING = "running"
    """A worker has it."""
    CANCELLING = "cancelling"
    """Somebody asked it to stop and its worker has not yet."""
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
    created: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class ErrorReply(Message):
    """Body of every HTTP answer that is not a success."""

    error: str
    """A word for programs: "unauthorised", "bad-shot", "missing-blobs", "wire-version", "not-found" …"""
    message: str
    """A sentence for people."""
    missing: tuple[str, ...] = ()
    """SHA-256 of the blobs to upload before the shot can be queued."""
