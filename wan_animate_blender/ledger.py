"""Which jobs the strips of this file wait for: kept on them, and once more where undo does not reach. Main thread only.

The state of a job is its server's; this knows who asked for it, where its take goes, and whether that has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from . import identity, timeline
from .wire import Job, JobState

HIDDEN = {"HIDDEN"}
FARM = "farm"
"""In place of a server's address: the job is a shot that was submitted, its id that of `farm.watch`."""


class WanAnimateJob(bpy.types.PropertyGroup):
    # Its name is the job's id.
    server: StringProperty(options=HIDDEN)
    """Address of the server that has it. Never asked because of that: a file may come from anywhere."""
    shot: StringProperty(options=HIDDEN)
    takes: StringProperty(options=HIDDEN)
    """Folder for its take."""
    is_over: BoolProperty(options=HIDDEN)
    """Whether nothing is expected of it any more: its take was imported, or there will be none."""


@dataclass(frozen=True)
class Entry:
    """What is known of one job."""

    server: str
    shot: str
    takes: str
    is_over: bool


@dataclass
class _Kept:
    """What undo may take from a strip, while jobs are under way for it."""

    scene: str
    strip: str
    shot: str
    people: dict[str, str]
    """Their shots by their names."""
    jobs: dict[str, Entry] = field(default_factory=dict)


_kept: dict[str, _Kept] = {}
"""By the strips' uids."""


def keep(uid: str) -> _Kept | None:
    """Let the identity of a strip outlive undo from now on; None when this file has no such strip."""
    if uid not in _kept and (found := identity.find(uid)):
        scene, strip = found
        ours = strip.wan_animate
        people = {person.name: person.shot for person in ours.people}
        _kept[uid] = _Kept(scene.name, strip.name, ours.shot, people)
    return _kept.get(uid)


def note(uid: str, job: Job, server: str, takes: Path) -> None:
    """Write down a job of the strip `uid`, or how it ended; nothing where this file has no such strip."""
    over = job.state in (JobState.FAILED, JobState.CANCELLED)
    entry = Entry(server, job.shot, str(takes), over)
    kept = keep(uid)
    if kept and kept.jobs.get(job.id) != entry:
        kept.jobs[job.id] = entry
        _write(uid, kept)


def end(uid: str, job: str) -> None:
    """Nothing is expected of a job any more."""
    kept, known = keep(uid), entries(uid).get(job)
    if kept and known:
        kept.jobs[job] = Entry(known.server, known.shot, known.takes, True)
        _write(uid, kept)


def entries(uid: str) -> dict[str, Entry]:
    """The jobs of a strip by their ids."""
    found = identity.find(uid)
    jobs = found[1].wan_animate.jobs if found else ()
    return {one.name: Entry(one.server, one.shot, one.takes, one.is_over) for one in jobs}


def uids() -> set[str]:
    """The identities of all strips in this file of which something was made."""
    return {strip.wan_animate.uid for _, strip in identity.all_strips()} - {""}


def waiting() -> dict[str, dict[str, Entry]]:
    """The jobs of servers of which something is expected, by the uids of their strips."""
    known = {uid: entries(uid) for uid in _with_jobs()}
    open_ = {
        uid: {job: one for job, one in jobs.items() if not one.is_over and one.server != FARM}
        for uid, jobs in known.items()
    }
    return {uid: jobs for uid, jobs in open_.items() if jobs}


def submitted() -> dict[str, Entry]:
    """The shots of this file that were ever submitted to a farm, by their jobs."""
    return {
        one.name: Entry(one.server, one.shot, one.takes, one.is_over)
        for _, strip in identity.all_strips()
        for one in strip.wan_animate.jobs
        if one.server == FARM
    }


def _with_jobs() -> set[str]:
    return {strip.wan_animate.uid for _, strip in identity.all_strips() if len(strip.wan_animate.jobs)} - {""}


def restore() -> None:
    """Give strips back what undo or redo took from them."""
    for uid, kept in _kept.items():
        if identity.find(uid) is None and (strip := _at_home(kept)):
            ours = strip.wan_animate
            ours.uid, ours.home, ours.shot = uid, f"{kept.scene}/{kept.strip}", kept.shot
            for person in ours.people:
                person.shot = kept.people.get(person.name, person.shot)
        _write(uid, kept)


def _at_home(kept: _Kept) -> timeline.Strip | None:
    """The strip from which undo took its identity."""
    scene = bpy.data.scenes.get(kept.scene)
    way = timeline.path(scene.sequence_editor, kept.strip) if scene and scene.sequence_editor else []
    return way[-1] if way and not way[-1].wan_animate.uid else None


def _write(uid: str, kept: _Kept) -> None:
    found = identity.find(uid)
    if found is None:
        return
    jobs = found[1].wan_animate.jobs
    for job, entry in kept.jobs.items():
        one = jobs.get(job) or jobs.add()
        one.name, one.server, one.shot, one.takes, one.is_over = (
            job, entry.server, entry.shot, entry.takes, entry.is_over,
        )  # fmt: skip


@bpy.app.handlers.persistent
def _after_undo(*_: object) -> None:
    restore()


@bpy.app.handlers.persistent
def _before_load(*_: object) -> None:
    _kept.clear()


def _handlers() -> list[tuple[list[Callable[..., None]], Callable[..., None]]]:
    handlers = bpy.app.handlers
    return [
        (handlers.undo_post, _after_undo), (handlers.redo_post, _after_undo), (handlers.load_pre, _before_load)
    ]  # fmt: skip


def register() -> None:
    bpy.utils.register_class(WanAnimateJob)
    for handlers, one in _handlers():
        handlers.append(one)


def unregister() -> None:
    for handlers, one in _handlers():
        handlers.remove(one)
    _kept.clear()
    bpy.utils.unregister_class(WanAnimateJob)
