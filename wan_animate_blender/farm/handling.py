"""What can be asked of the engine that a submission was sent to: how its shots stand, to stop, to try again.

Knows neither bpy nor a panel. Only Flamenco answers; a bundle's farm is asked where it was given to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ..session import Cancelled, Step, Work
from ..wire import BadInput, Job
from .flamenco import Manager
from .standing import standing
from .submission import Engine, Sent, Submission
from .watch import Beside, Voice, place, sent, submission_folder


def voice(url: str) -> Voice:
    """What the Manager at `url` says of what was sent to it."""

    def said(where: Sent, submission: Submission) -> Mapping[str, Job]:
        if where.engine is not Engine.FLAMENCO or not url:
            return {}
        return standing(_manager(where, url), where.job, submission).shots

    return said


def why_not(job: Job) -> str:
    """Why nobody here can stop a submitted shot or try it again; empty when somebody can."""
    if job.by == Engine.FLAMENCO.label:
        return ""
    return f"{job.by or 'No farm yet'} has {job.shot}, and takes such orders where it is watched"


def only_a_server(job: Job) -> str:
    """Why something cannot be done with a submitted shot at all."""
    return f"A farm has {job.shot}, not the server"


def cancel(beside: Beside, shots: Path, job: Job, url: str, cancelled: Cancelled) -> Work[str]:
    """Stop the submission of a shot. Raises what `Manager.cancel` raises."""
    yield from _ordered(beside, shots, job, url, Manager.cancel, cancelled)
    return "Flamenco stops the whole submission; what is finished is kept"


def retry(beside: Beside, shots: Path, job: Job, url: str, cancelled: Cancelled) -> Work[str]:
    """Queue again what failed or was cancelled in the submission of a shot. Raises what `Manager.retry` raises."""
    yield from _ordered(beside, shots, job, url, Manager.retry, cancelled)
    return "Flamenco tries again what failed or was cancelled; what is finished is kept"


def _ordered(
    beside: Beside, shots: Path, job: Job, url: str, order: Callable[[Manager, str], None], cancelled: Cancelled
) -> Work[None]:  # fmt: skip
    yield Step(stage="asking", progress=0.0)
    yield from beside.ask(partial(_order, shots, job, url, order), cancelled)


def _order(shots: Path, job: Job, url: str, order: Callable[[Manager, str], None]) -> None:
    where = place(job.id)
    told = sent(submission_folder(shots, where.submission)) if where else None
    if told is None:
        raise BadInput(f"nobody knows any more where {job.shot} was sent; submit it again")
    order(_manager(told, url), told.job)


def _manager(where: Sent, url: str) -> Manager:
    """Raises `BadInput` for another Manager than that of the preferences: a file may come from anywhere."""
    if where.url != url:
        raise BadInput(
            f"it was sent to the Manager at {where.url}, and the preferences name {url or 'none'}; enter that one there"
        )
    return Manager(url)
