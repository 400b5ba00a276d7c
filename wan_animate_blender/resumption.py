"""Jobs that outlive the window that sent them: found again when a file is opened, watched, fetched and imported.

Those that the file waits for stand in it (`ledger`). What was sent after it was last saved is found by asking the
server for jobs of its strips. Only the server of the preferences is ever asked.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import bpy

from . import delivery, desk, ledger
from .client import Server
from .delivery import Waiting
from .preferences import chosen_server, preferences, shots_folder
from .session import Cancelled, News, Work
from .wire import TAKES, Job, JobState, Problem, Unavailable

log = logging.getLogger(__name__)

TICKET = "resumption"
"""Of the question for jobs that the file does not know of."""

SOON_SECONDS = 0.5
"""After which an opened file is looked at: Blender shows it first."""


def resume() -> None:
    """Go on with all jobs of this file that are expected to become takes. Called by Blender's timer."""
    if not ledger.uids():
        return
    try:
        server = chosen_server()
    except Problem as problem:
        log.warning("jobs of this file are not watched: %s", problem)
        for uid in ledger.waiting():
            desk.latest.setdefault(uid, News(ticket=uid, problem=problem))
        return
    _watch_known(server)
    if not desk.is_busy(TICKET):
        _search(server)


def _search(server: Server) -> None:
    """Ask for jobs of this file's strips that it does not know of."""
    found: list[Job] = []

    def hear(news: News) -> None:
        if news.is_final:
            _adopt(server, found)

    desk.start(TICKET, partial(_ask, server, found), hear=hear)


def _ask(server: Server, found: list[Job], cancelled: Cancelled) -> Work[str]:
    found.extend((yield from delivery.listed(server, cancelled)))
    return ""


def _adopt(server: Server, jobs: list[Job]) -> None:
    """Expect the takes of those `jobs` that belong to a strip of this file, which does not know of them."""
    ours = ledger.uids()
    for job in jobs:
        hopeless = job.state in (JobState.FAILED, JobState.CANCELLED)
        if job.strip in ours and not hopeless and job.id not in ledger.entries(job.strip):
            try:
                ledger.note(job.strip, job, server.url, shots_folder() / job.shot / TAKES)
            except Problem as problem:
                log.warning("the job %s is left alone: %s", job.id, problem)
    _watch_known(server)


def _watch_known(server: Server) -> None:
    for uid, jobs in ledger.waiting().items():
        if not desk.is_busy(uid):
            _watch(server, uid, jobs)


def _watch(server: Server, uid: str, jobs: dict[str, ledger.Entry]) -> None:
    here = [Waiting(job, takes(entry)) for job, entry in jobs.items() if entry.server == server.url]
    if here:
        imports = preferences().imports
        desk.start(uid, lambda cancelled: delivery.resume(server, here, cancelled, fetch=imports), imports=imports)
    elif jobs:
        problem = Unavailable(
            f"{len(jobs)} jobs of this strip are at {next(iter(jobs.values())).server}, and the preferences name "
            f"{server.url}; enter that server there to have them fetched"
        )
        desk.latest.setdefault(uid, News(ticket=uid, problem=problem))


def takes(entry: ledger.Entry) -> Path:
    """Where its exports still are: the project may have moved."""
    folder = Path(entry.takes)
    return folder if folder.parent.is_dir() else shots_folder() / entry.shot / TAKES


@bpy.app.handlers.persistent
def _after_load(*_: object) -> None:
    _soon()


def _soon() -> None:
    if not bpy.app.timers.is_registered(resume):
        bpy.app.timers.register(resume, first_interval=SOON_SECONDS, persistent=True)


def register() -> None:
    bpy.app.handlers.load_post.append(_after_load)
    _soon()


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_after_load)
    if bpy.app.timers.is_registered(resume):
        bpy.app.timers.unregister(resume)
