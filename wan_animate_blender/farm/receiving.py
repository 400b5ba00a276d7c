"""Takes of submitted shots come into the edit: on load, now and then while the file waits for one, and by hand.

Which shots of this file were submitted stands in it (`ledger`); those that it does not know of, because it was not
saved afterwards, are found in the folder of submissions. Their folders are read beside Blender (`watch`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import bpy

from .. import desk, ledger
from ..board import Board
from ..delivery import pause
from ..preferences import chosen_manager, preferences, shots_folder
from ..session import Cancelled, News, Step, Work
from ..wire import TAKES, BadInput, Job, JobState, Problem
from . import handling, watch

log = logging.getLogger(__name__)

TICKET, LISTING = "farm takes", "farm list"
"""Of the look for takes that the file waits for, and of those while somebody looks at the list."""

SOON_SECONDS, LATER_SECONDS = 0.7, 30.0
"""After which an opened file is looked at, and how long later again while it waits for a take."""

BREATH_SECONDS = 0.4
"""Between two takes, in which Blender answers: each of them is an undo step."""

_eye, beside = watch.Eye(), watch.Beside()


# --- the list -------------------------------------------------------------------------------------


def follow(board: Board, hear: Callable[[News], None]) -> None:
    """Have the submitted shots on the board kept up to date while somebody looks. Called by Blender's timer."""
    try:
        voice, named = handling.voice(chosen_manager()), _named(ledger.submitted())
        look = partial(_eye.jobs, shots_folder(), voice, named)
        desk.start(LISTING, lambda cancelled: watch.follow(board, beside, look, cancelled), hear=hear)
    except Problem as problem:
        log.info("submitted shots are not listed: %s", problem)


def _named(known: Mapping[str, ledger.Entry]) -> frozenset[str]:
    """Folders of the submissions that the file waits for."""
    waits = (watch.place(job) for job, entry in known.items() if not entry.is_over)
    return frozenset(one.submission for one in waits if one)


# --- takes ----------------------------------------------------------------------------------------


def remember(shots: Path, jobs: tuple[Job, ...]) -> None:
    """Let the strips know that these shots of theirs were submitted, and expect their takes."""
    for job in jobs:
        ledger.note(job.strip, job, ledger.FARM, shots / job.shot / TAKES)
    _soon(LATER_SECONDS)


def expect() -> float | None:
    """Import the takes of this file's submitted shots that are there and were not imported. Called by Blender's timer.

    Returns the seconds until it wants to be called again.
    """
    ours = ledger.uids()
    if not ours or not preferences().imports:
        return None
    if desk.is_busy(TICKET):
        return SOON_SECONDS
    try:
        shots = shots_folder()
    except BadInput as problem:
        log.info("submitted shots are not looked for: %s", problem)
        return None
    desk.start(TICKET, partial(_arrivals, shots, ours, ledger.submitted()), hear=partial(_hear, shots))
    return None


def _arrivals(shots: Path, ours: set[str], known: Mapping[str, ledger.Entry], cancelled: Cancelled) -> Work[str]:
    """A step for each shot of this file that it does not know of, and one for each take that has arrived."""
    question = partial(_whole, shots, ours, {job for job, one in known.items() if one.is_over}, _named(known))
    found = yield from beside.ask(question, cancelled)
    arrived = 0
    for job, folder in found or ():
        if job.id not in known:
            yield Step(stage="found", progress=0.0, job=job)
        if folder:
            arrived += 1
            yield Step(stage="arrived", progress=1.0, whole=1.0, job=job, take=folder)
            yield from pause(BREATH_SECONDS, cancelled)
    return f"{arrived} takes have arrived" if arrived else ""


def _whole(shots: Path, ours: set[str], over: set[str], named: frozenset[str]) -> list[tuple[Job, Path | None]]:
    """The shots of these strips of which something is expected, and the folder of the take where it is whole."""
    jobs = [job for job in _eye.jobs(shots, named=named) if job.strip in ours and job.id not in over]
    return [(job, _take(shots, job) if job.state is JobState.DONE else None) for job in jobs]


def _take(shots: Path, job: Job) -> Path | None:
    where = watch.place(job.id)
    made = watch.newest(shots, where.shot) if where else None
    return made.folder if made else None


def _hear(shots: Path, news: News) -> None:
    if news.step and news.step.job and not news.step.take:
        remember(shots, (news.step.job,))
    if news.is_final and any(not one.is_over for one in ledger.submitted().values()):
        _soon(LATER_SECONDS)


# --- by hand --------------------------------------------------------------------------------------


def bring(ticket: str, job: Job) -> None:
    """Import what is there of the take of a submitted shot. Raises `BadInput` where there is no folder of shots."""
    desk.start(ticket, partial(_brought, shots_folder(), job))


def _brought(shots: Path, job: Job, cancelled: Cancelled) -> Work[str]:
    folder = yield from beside.ask(partial(_take, shots, job), cancelled)
    if folder is None:
        raise BadInput(f"{job.shot} has no take yet; wait until its first frames are rendered")
    yield Step(stage="arrived", progress=1.0, whole=1.0, job=job, take=folder)
    return str(folder)


Order = Callable[[watch.Beside, Path, Job, str, Cancelled], Work[str]]


def order(ticket: str, job: Job, what: Order) -> None:
    """Have the engine of a submitted shot do something. Raises `Problem` when it may not be asked."""
    desk.start(ticket, partial(what, beside, shots_folder(), job, chosen_manager()))


# --- when -----------------------------------------------------------------------------------------


def _soon(seconds: float = SOON_SECONDS) -> None:
    if not bpy.app.timers.is_registered(expect):
        bpy.app.timers.register(expect, first_interval=seconds, persistent=True)


@bpy.app.handlers.persistent
def _after_load(*_: object) -> None:
    desk.cancel(TICKET)  # it was another file's
    if bpy.app.timers.is_registered(expect):
        bpy.app.timers.unregister(expect)
    _soon()


def register() -> None:
    bpy.app.handlers.load_post.append(_after_load)
    _soon()


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_after_load)
    if bpy.app.timers.is_registered(expect):
        bpy.app.timers.unregister(expect)
