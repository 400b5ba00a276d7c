"""What the page says of jobs in a few words. Knows neither HTTP nor files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from wan_animate_blender.wire import Job, JobState

STANDING: Final = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "rendering",
    JobState.CANCELLING: "stopping",
    JobState.PAUSING: "pausing",
    JobState.PAUSED: "paused",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def standing(job: Job) -> str:
    """Its state in a word."""
    return STANDING[job.state]


def work(job: Job) -> str:
    """What is being done right now, such as "denoising · segment 2 of 4 · step 3 of 20"."""
    if job.state.is_final or not job.stage:
        return ""
    said = [job.stage]
    if job.segments:
        said.append(f"segment {job.segment} of {job.segments}")
    if job.steps and job.step:
        said.append(f"step {job.step} of {job.steps}")
    return " · ".join(said)


def left(seconds: float | None) -> str:
    """How long it will take, to a precision that an estimate has: "2 h 05 min left", "4 min 20 s left", "9 s left"."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min left"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60 // 10 * 10:02d} s left"
    return f"{whole} s left"


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, to the minute, in UTC; the page turns it into the reader's own clock."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def memory(size: int) -> str:
    """Bytes as "80.5 GiB"."""
    return f"{size / (1 << 30):.1f} GiB"
