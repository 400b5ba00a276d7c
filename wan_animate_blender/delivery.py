"""A job from its shot to its take: sent, watched for as long as it lasts, fetched. Knows neither bpy nor threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import TypeVar, cast

from .client import NoAnswer, Server, new_key
from .session import Cancelled, Step, Work
from .wire import SHOT_FILE, TAKES, BadInput, Interrupted, Job, JobState, Problem, Retake, Shot, Unavailable

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds after which a server that does not answer is asked again; the last one for ever."""

PATIENCE_SECONDS = 60.0
"""How long a server may stay away where nobody watches: it is given time to start again."""

AWAY = "the server does not answer; trying again"
"""What is being done meanwhile."""

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """A job that somebody waits for."""

    job: str
    takes: Path
    """Where its take goes."""


def deliver(
    server: Server, export: Path, cancelled: Cancelled, patience: float = math.inf, base: str = ""
) -> Work[str]:  # fmt: skip
    """Have the exported shot in `export` rendered; returns the folder of its take, beside the exports.

    With the job of an earlier take as `base` only those of its frames that this one lacks.

    A server that stops answering is waited for, `patience` seconds. Raises `Interrupted` when it was cancelled:
    finished segments stay on the server.
    """
    try:
        shot = Shot.loads((export / SHOT_FILE).read_bytes())
    except OSError as error:
        raise BadInput(f"{export} holds no {SHOT_FILE} ({error.strerror or error}); export the shot again") from error
    job = yield from _sent(server, shot, export, cancelled, patience, base)
    takes = export.parent / TAKES
    job = yield from watch(server, job, cancelled, takes, patience)
    return str((yield from _collect(server, job, takes, cancelled, patience)))


def make_anew(server: Server, job: str, wanted: Retake, takes: Path, cancelled: Cancelled) -> Work[Path]:
    """Have frames of the take of `job` rendered anew; returns the folder of the next take below `takes`.

    Raises `BadInput` when the server has that job no more.
    """
    yield Step(stage="asking", progress=0.0)
    expect_job(server, job)
    now = yield from watch(server, server.retake(job, wanted), cancelled, takes)
    return (yield from _collect(server, now, takes, cancelled))


def expect_job(server: Server, job: str) -> None:
    """Raise `BadInput` when the server has no more the job of a take that is to be built upon."""
    try:
        server.job(job)
    except BadInput as error:
        raise BadInput(
            f"the server at {server.url} has no job of this take any more ({error}); generate the strip again, for "
            "which finished segments are found again, and go on from that take"
        ) from error


def resume(server: Server, waiting: Sequence[Waiting], cancelled: Cancelled, *, fetch: bool) -> Work[str]:
    """Go on with jobs that were sent before Blender or the file was closed, one after the other.

    A step with its folder says that a take has arrived; without `fetch` they stay on the server. What is wrong with one
    is raised when the others are done.
    """
    problems: list[Problem] = []
    said = ""
    for one in waiting:
        try:
            job = yield from _asked_for(server, one.job, cancelled)
            job = yield from watch(server, job, cancelled, one.takes)
            said = f"{job.shot} is rendered; import it from the list of jobs"
            if fetch:
                folder = yield from _collect(server, job, one.takes, cancelled)
                yield replace(_step(server, job, one.takes), stage="arrived", take=folder)
        except Interrupted:
            raise
        except Problem as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
    return said


def fetch(server: Server, job: str, takes: Path, cancelled: Cancelled) -> Work[str]:
    """What is there of the take of `job`, whether or not it is done; a step says that it has arrived."""
    folder = yield from until_cancelled(cancelled, "fetching", server.collect(job, takes))
    yield Step(stage="arrived", progress=1.0, whole=1.0, take=folder)
    return str(folder)


def listed(server: Server, cancelled: Cancelled) -> Work[tuple[Job, ...]]:
    """The jobs of a server, which is given the time to start."""
    away = Step(stage=AWAY, progress=0.0)
    return (yield from _patiently(partial(_once, server.jobs), away, cancelled, PATIENCE_SECONDS))


def watch(
    server: Server, job: Job, cancelled: Cancelled, takes: Path | None = None, patience: float = math.inf
) -> Work[Job]:  # fmt: skip
    """Say how `job` stands whenever that changes, until it is done; tell the server when it was cancelled.

    Raises `Unavailable` when it failed and `Interrupted` when it was cancelled, here or elsewhere.
    """
    told = False
    yield _step(server, job, takes)
    while not job.state.is_final:
        tell = cancelled.is_set() and not told
        ask = partial(server.cancel if tell else server.job, job.id)
        now = yield from _patiently(partial(_once, ask), _step(server, job, takes), cancelled, patience)
        told = told or tell
        yield _step(server, now, takes) if now != job else None
        job = now
    if job.state is JobState.FAILED:
        raise Unavailable(f"the server could not render {job.shot}: {job.message}")
    if job.state is JobState.CANCELLED:
        raise Interrupted(f"{job.shot} was cancelled; finished segments are kept on the server")
    return job


def _sent(
    server: Server, shot: Shot, export: Path, cancelled: Cancelled, patience: float, base: str
) -> Work[Job]:  # fmt: skip
    """Queue `shot`, as one job however often the line breaks. A server that is not there at all is said at once."""
    server.alive()
    key = new_key()

    def attempt() -> Work[Job]:
        return (yield from until_cancelled(cancelled, "uploading", server.submit(shot, export, key, base)))

    return (yield from _patiently(attempt, Step(stage="uploading", progress=0.0), cancelled, patience))


def _asked_for(server: Server, job: str, cancelled: Cancelled) -> Work[Job]:
    away = Step(stage=AWAY, progress=0.0)
    return (yield from _patiently(partial(_once, partial(server.job, job)), away, cancelled, math.inf))


def _collect(
    server: Server, job: Job, takes: Path, cancelled: Cancelled, patience: float = math.inf
) -> Work[Path]:  # fmt: skip
    def attempt() -> Work[Path]:
        return (yield from until_cancelled(cancelled, "fetching", server.collect(job.id, takes)))

    return (yield from _patiently(attempt, _step(server, job, takes), cancelled, patience))


def _once(ask: Callable[[], T]) -> Work[T]:
    """A question as a work that has nothing to say before its answer."""
    yield from ()
    return ask()


def _patiently(attempt: Callable[[], Work[T]], now: Step, cancelled: Cancelled, patience: float) -> Work[T]:
    """What `attempt` returns, tried again for as long as no server answers and nobody cancels."""
    began, pauses = time.monotonic(), backoff()
    while True:
        try:
            return (yield from attempt())
        except NoAnswer as error:
            if cancelled.is_set():
                sentence = f"given up here; the server did not answer, and goes on if it can ({error})"
                raise Interrupted(sentence) from error
            if time.monotonic() - began > patience:
                raise
            yield replace(now, stage=AWAY, message=str(error))
        yield from pause(next(pauses), cancelled)


def backoff() -> Iterator[float]:
    """Seconds until a server that does not answer is asked again, each time."""
    return chain(PAUSES, repeat(PAUSES[-1]))


def pause(seconds: float, cancelled: Cancelled) -> Work[None]:
    """Wait, unless somebody cancels."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not cancelled.is_set():
        yield None


def until_cancelled(cancelled: Cancelled, stage: str, parts: Generator[float, None, T]) -> Work[T]:
    """Turn the fractions of `parts` into steps. Raises `Interrupted` between two of them."""
    while not cancelled.is_set():
        try:
            part = next(parts)
        except StopIteration as stop:
            return cast(T, stop.value)
        yield Step(stage=stage, progress=part, whole=part)
    parts.close()
    raise Interrupted(f"{stage} was cancelled; what has arrived is not sent again")


def _step(server: Server, job: Job, takes: Path | None) -> Step:
    return Step(
        stage=job.stage or job.state, progress=job.progress, whole=job.progress, message=job.message, job=job,
        server=server.url, takes=takes,
    )  # fmt: skip
