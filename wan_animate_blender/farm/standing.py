"""What a Flamenco Manager says of a job's shots, as lines of the job list. Knows no folder of a shot or a take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import wire
from ..wire import Job, JobState
from .flamenco import Manager
from .submission import Submission

TAILS = 40
"""Logs that are asked for at once at most."""

_STATES = {
    "queued": JobState.QUEUED,
    "active": JobState.RUNNING,
    "completed": JobState.DONE,
    "soft-failed": JobState.QUEUED,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELLED,
    "paused": JobState.PAUSED,
}
"""Of tasks; a word of a later Flamenco is one that waits."""

_TELLING = ("active", "failed", "soft-failed")
"""Tasks whose log says something, by how much somebody wants to know it."""

_SAID = re.compile(r"pid=[0-9]+ > (.*\S)")
"""A line of a worker's log that our process wrote."""
_PROGRESS = re.compile(r"pid=[0-9]+ > ([0-9]{1,3}) %(?: (.*\S))?")
"""One in the dialect of `wire.lines`."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A job as a whole, and its shots."""

    status: str
    """Flamenco's word: "queued", "active", "completed", "failed" …"""
    activity: str
    """What last happened to it, in Flamenco's words."""
    shots: Mapping[str, Job]
    """By the folder of the export; without id."""
    importing: Job | None
    """The last task, which imports all takes; None for a job that is not ours."""


def standing(manager: Manager, job: str, submission: Submission) -> Standing:
    """Ask how the shots of `submission` stand. Raises `Unavailable` without an answer, `BadInput` for unknown jobs."""
    whole, tasks = manager.job(job), manager.tasks(job)
    tails = _tails(manager, tasks)
    named = {str(task.get("name")): _task(task, tails.get(str(task.get("id")), "")) for task in tasks}
    status = str(whole["status"])
    shots = {
        shot.folder: _shot(shot.name, named[f"export {shot.folder}"], named[f"render {shot.folder}"], status)
        for shot in submission.shots
        if {f"export {shot.folder}", f"render {shot.folder}"} <= named.keys()
    }
    importing = _line(named["import"], status, "importing") if "import" in named else None
    activity = wire.one_line(str(whole.get("activity") or ""), 300)
    return Standing(status=status, activity=activity, shots=shots, importing=importing)


@dataclass(frozen=True, kw_only=True)
class _Task:
    status: str
    task_type: str
    progress: float
    doing: str
    said: str
    """The last thing its process said."""


def _tails(manager: Manager, tasks: list[dict[str, Any]]) -> dict[str, str]:
    telling = [task for status in _TELLING for task in tasks if task.get("status") == status]
    return {str(task.get("id")): manager.log_tail(str(task.get("id"))) for task in telling[:TAILS]}


def _task(task: Mapping[str, Any], log: str) -> _Task:
    progress, said = _PROGRESS.findall(log), _SAID.findall(log)
    percent, doing = progress[-1] if progress else ("0", "")
    return _Task(
        status=str(task.get("status")),
        task_type=str(task.get("task_type")),
        progress=min(int(percent), 100) / 100,
        doing=wire.one_line(doing, 80),
        said=wire.one_line(said[-1]) if said else "",
    )


def _shot(name: str, exporting: _Task, rendering: _Task, status: str) -> Job:
    is_exported = exporting.status == "completed"
    line = _line(rendering, status, "rendering") if is_exported else _line(exporting, status, "exporting")
    stage = "exported" if is_exported and line.state is JobState.QUEUED else line.stage
    progress = line.progress if is_exported else 0.0
    return wire.Job(id="", shot=name, state=line.state, stage=stage, progress=progress, message=line.message)


def _line(task: _Task, status: str, doing: str) -> Job:
    state = _STATES.get(task.status, JobState.QUEUED)
    message = ""
    if task.status == "failed":
        message = task.said or f"{doing} failed; its log is on the job's page"
    elif task.status == "soft-failed":
        message = (f"{doing} failed on one worker ({task.said or 'it did not say why'}) and waits for another that "
                   f"takes {task.task_type!r}; where there is none, cancel the job and retry it")  # fmt: skip
    elif state is JobState.QUEUED and status == "failed":
        state, message = JobState.FAILED, "it was not begun, as the job had failed before; retry the job"
    elif status == "cancel-requested" and not state.is_final:
        state = JobState.CANCELLING
    stage = {JobState.QUEUED: "waiting", JobState.RUNNING: task.doing or doing, JobState.DONE: "done"}.get(state, "")
    progress = 1.0 if state is JobState.DONE else task.progress
    return Job(id="", shot="", state=state, stage=stage, progress=progress, message=message)
