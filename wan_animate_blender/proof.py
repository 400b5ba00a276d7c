"""One frame at several strengths of relight, before anything long is started. Knows neither bpy nor strips."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

from .client import Server
from .delivery import until_cancelled, watch
from .session import Cancelled, Step, Work
from .wire import SHOT_FILE, Job, Mode, Plan, Problem, Shot, Take, frame_name

STRENGTHS = (0.0, 0.5, 1.0)

AROUND = 2
"""Frames before and after the one that is looked at: the model was made for motion, and 5 is its shortest piece."""

Show = Callable[[float, Path], None]
"""Given a strength and its picture as soon as that has arrived."""


def frames(now: int, first: int, end: int) -> range:
    """The frames to render for a proof of frame `now`, of those from `first` until `end`."""
    return range(max(first, now - AROUND), min(end, now + AROUND + 1))


def proofs(server: Server, export: Path, number: int, folder: Path, cancelled: Cancelled, show: Show) -> Work[str]:
    """Have `export` rendered at each strength and shot frame `number` of each fetched into `folder`.

    Returns what is worth knowing of them. The server keeps nothing of it but finished segments.
    """
    shot = _short(Shot.loads((export / SHOT_FILE).read_bytes()))
    jobs: list[Job] = []
    try:
        notes: list[str] = []
        strengths = STRENGTHS if shot.mode is Mode.REPLACE else (shot.settings.relight,)
        for strength in strengths:
            one = replace(shot, settings=replace(shot.settings, relight=strength))
            jobs.append((yield from until_cancelled(cancelled, "uploading", server.submit(one, export))))
        for count, (strength, job) in enumerate(zip(strengths, jobs, strict=True)):
            yield from _as_part(watch(server, job, cancelled), count, len(jobs))
            take = server.take(job.id)
            show(strength, _fetch(server, job, take, number, folder / f"{strength}"))
            notes += take.notes
            yield Step(stage="fetching", progress=1.0, whole=(count + 1) / len(jobs))
        return "; ".join(dict.fromkeys(notes))
    finally:
        _forget(server, jobs)


def _short(shot: Shot) -> Shot:
    """Of no strip, so that nobody waits for its take; without mirrored frames to fill a segment."""
    return replace(shot, strip="", settings=replace(shot.settings, plan=Plan.EVEN))


def _as_part(work: Work[Job], count: int, total: int) -> Generator[Step | None, None, Job]:
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            done: Job = end.value
            return done
        yield step and replace(step, whole=(count + step.whole) / total)


def _fetch(server: Server, job: Job, take: Take, number: int, target: Path) -> Path:
    """The picture of one frame that shows everything."""
    names = {Path(path).stem: path for path in take.sequence(take.layers[-1])}
    path = names[Path(frame_name(number, "png")).stem]
    target = target.with_name(target.name + Path(path).suffix)
    for _ in server.fetch(job.id, path, take.files[path], target):
        pass
    return target


def _forget(server: Server, jobs: Sequence[Job]) -> None:
    """A server that does not answer any more keeps them in its list, as does one that still has to stop one."""
    for job in jobs:
        with contextlib.suppress(Problem):
            server.cancel(job.id)
            server.remove(job.id)
