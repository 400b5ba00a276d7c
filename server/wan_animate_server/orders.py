"""The HTTP routes of jobs: queued, watched, cancelled, tried again, made anew in part, removed. Knows no pictures."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from wan_animate_blender.wire import BadInput, Handed, Job, JobState, Retake, Shot, Take, TakeState

from .contract import body, bytes_of, refusals
from .database import NoRoom
from .datafolder import Begun
from .door import NEVER_STORED, AtDesk, Desk, KnownJob, body_of, guarded
from .jobs import Jobs
from .refusals import Refusal
from .shot import check_layers
from .take import newest_take, read_take

_SHOT_LIMIT = 32 << 20
"""Bytes of a shot message; a shot of 10,000 frames has about eight million."""

_NOTE_LIMIT = 64 << 10
"""Bytes of any other message."""

_MANY = 100_000
"""Most jobs that can be asked for by number."""

_LOOK_SECONDS = 0.25
_ALIVE_SECONDS = 15.0
"""Time between two looks at a job that somebody watches, and between two signs of life to him."""

_LOCAL = ("127.0.0.1", "::1")

Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern="^[0-9a-f]{32}$")]
"""Drawn by a client for one job (draft-ietf-httpapi-idempotency-key-header)."""

Base = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")]
"""Id of the job that another one goes on from."""

routes = guarded()


@routes.post("/jobs", status_code=201, response_model=Job, responses=refusals(403, 404, 409, 413, 507),
             openapi_extra=body(Shot, Handed))  # fmt: skip
async def queue_job(request: Request, desk: AtDesk, key: Key = None, base: Base = None) -> JSONResponse:
    """Queue the shot in the body; 409 with the blobs to upload first.

    A `base` is the id of a done job of the same strip before it was trimmed longer: all frames of its take are kept,
    bit for bit, and only the others are rendered. It is needed no more as soon as the new job is queued.

    Programs on the server's machine may name the folder of an export instead, below a root that it was started with.
    With an `Idempotency-Key`, which becomes the job's id, a shot whose answer was lost may be sent again: one job.
    """
    sent = await body_of(request, _SHOT_LIMIT)
    order = _Order(key or uuid.uuid4().hex, str(request.state.name), desk, base)
    handed = await run_sync(_handed, sent)
    if handed and (request.client is None or request.client.host not in _LOCAL):
        raise Refusal(403, "not-here", "only programs on this server's machine hand over folders; upload the shot")
    async with desk.queueing:
        job = await run_sync(order.queue_folder, handed.folder) if handed else await run_sync(order.queue, sent)
    return JSONResponse(job.to_json(), 201)


@routes.get("/jobs", response_model=list[Job])
def list_jobs(desk: AtDesk, newest: Annotated[int | None, Query(ge=0, le=_MANY)] = None) -> JSONResponse:
    """All jobs, in order of arrival, or the last of them."""
    return JSONResponse([job.to_json() for job in desk.jobs.all(newest)])


@routes.get("/jobs/{job}", response_model=Job, responses=refusals(404))
def show_job(job: KnownJob) -> JSONResponse:
    return JSONResponse(job.to_json())


@routes.delete("/jobs/{job}", status_code=202, response_model=Job, responses=refusals(404))
def cancel_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Ask the job to stop; what it finished is kept."""
    return JSONResponse((desk.jobs.cancel(job.id) or job).to_json(), 202)


@routes.post("/jobs/{job}/retry", status_code=202, response_model=Job, responses=refusals(404, 409))
def retry_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Queue a failed or cancelled job again; what it had finished is not rendered again."""
    if not desk.jobs.retry(job.id):
        raise Refusal(
            409, "not-over", f"the job {job.id} is {job.state}; only a failed or cancelled one is tried again"
        )
    return JSONResponse((desk.jobs.get(job.id) or job).to_json(), 202)


@routes.post("/jobs/{job}/retake", status_code=201, response_model=Job, responses=refusals(404, 409, 413, 507),
             openapi_extra=body(Retake))  # fmt: skip
async def retake_job(request: Request, job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Queue a new job that renders some frames of a done one anew and keeps the others, bit for bit.

    It needs the old job no more: that one may be removed at once.
    """
    sent = await body_of(request, _NOTE_LIMIT)
    try:
        retake = Retake.loads(sent)
    except BadInput as error:
        raise Refusal(422, "bad-retake", str(error)) from error
    made = await run_sync(queue_retake, job, retake, str(request.state.name), desk)
    return JSONResponse(made.to_json(), 201)


@routes.post("/jobs/{job}/remove", status_code=204, responses=refusals(404, 409))
def remove_job(job: KnownJob, desk: AtDesk) -> Response:
    """Forget a job that has ended, with its take; finished segments are kept."""
    if not desk.jobs.remove(job.id):
        raise Refusal(409, "not-over", f"the job {job.id} is {job.state}; cancel it before it is removed")
    desk.data.remove(job.id)
    return Response(status_code=204)


@routes.get("/jobs/{job}/events", response_class=Response,
            responses=refusals(404) | bytes_of("text/event-stream", "the job, as `data:` lines"))  # fmt: skip
def watch_job(job: KnownJob, desk: AtDesk, request: Request) -> StreamingResponse:
    """Server-sent events: the job at every change, until it is final or the token of who watches is good no more."""
    changes = _changes(job.id, desk.jobs, lambda: desk.keys.accepts(request.state.token))
    return StreamingResponse(changes, media_type="text/event-stream", headers=NEVER_STORED)


def _handed(sent: bytes) -> Handed | None:
    """The body as a folder that is handed over; None when it is a shot, or nothing."""
    try:
        return Handed.loads(sent)
    except BadInput:
        return None


@dataclass(frozen=True)
class _Order:
    """A job that somebody wants; its methods raise `Refusal`."""

    job: str
    sender: str
    desk: Desk
    base: str | None = None
    """The job whose take is extended."""

    def queue(self, sent: bytes) -> Job:
        """For a shot whose files were uploaded."""
        shot, desk = _checked(lambda: Shot.loads(sent)), self.desk
        if known := self._known(shot):
            return known
        if missing := desk.blobs.missing(shot.files.values()):
            raise Refusal(
                409, "missing-blobs", f"{len(missing)} files of the shot are not here yet; upload them", missing=missing
            )
        begun = self._begun()
        return self._made(
            lambda: desk.data.lay_out(self.job, shot, desk.blobs.path, begun),
            lambda: desk.jobs.add(self.job, shot, by=self.sender),
        )

    def queue_folder(self, folder: str) -> Job:
        """For a shot whose export lies on this machine."""
        found: list[Path] = []

        def read() -> Shot:
            place, shot = self.desk.handover.take(folder)
            found.append(place)
            return shot

        shot, desk = _checked(read), self.desk
        if known := self._known(shot):
            return known
        begun = self._begun()
        return self._made(
            lambda: desk.data.lay_out_empty(self.job, shot.name, begun),
            lambda: desk.jobs.add(self.job, shot, by=self.sender, folder=found[0]),
        )

    def _known(self, shot: Shot) -> Job | None:
        """The job, when it is there because its answer was lost."""
        found = self.desk.jobs.get(self.job)
        if found and (found.shot, found.strip) != (shot.name, shot.strip):
            raise Refusal(422, "bad-key", "the Idempotency-Key is that of another shot's job; draw a new one for each")
        return found

    def _begun(self) -> Begun | None:
        """What the job goes on from."""
        if self.base is None:
            return None
        job = self.desk.jobs.get(self.base)
        if job is None:
            raise Refusal(404, "not-found", f"there is no job {self.base} to go on from; send the shot without a base")
        return _finished(job, self.desk)[0]

    def _made(self, lay_out: Callable[[], None], add: Callable[[], Job]) -> Job:
        _made(lay_out)
        if self.base:
            _expect_still_there(self.base, self.job, self.desk)
        try:
            return add()
        except NoRoom:
            self.desk.data.remove(self.job)
            raise


def queue_retake(job: Job, retake: Retake, sender: str, desk: Desk) -> Job:
    """A new job that makes some frames of a done one anew. Raises `Refusal` (404, 409, 422, 507)."""
    begun, take = _finished(job, desk)
    if not take.first <= retake.first <= retake.last <= take.last:
        raise Refusal(
            422, "bad-retake",
            f"the re-take is of {retake.first}-{retake.last}, expected frames of {take.first}-{take.last}",
        )  # fmt: skip
    handed, made = desk.jobs.folder(job.id), uuid.uuid4().hex
    export = None if handed else desk.data.export(job.id, job.shot)
    _made(lambda: desk.data.lay_out_retake(made, job.shot, export, begun))
    _expect_still_there(job.id, made, desk)
    return desk.jobs.add_retake(made, job, retake, by=sender)


def _finished(job: Job, desk: Desk) -> tuple[Begun, Take]:
    """The take of a done job. Raises `Refusal` (409)."""
    folder = newest_take(desk.data.takes(job.id, job.shot))
    take = folder and read_take(folder)
    if job.state is not JobState.DONE or not folder or not take or take.state is not TakeState.COMPLETE:
        raise Refusal(409, "not-done", f"the job {job.id} is {job.state}; only a done one has a take to begin from")
    return Begun(folder, take.files), take


def _expect_still_there(job: str, made: str, desk: Desk) -> None:
    """Raise `Refusal` (404) when `job` was removed meanwhile, perhaps before all of it was linked for `made`."""
    if desk.jobs.get(job) is None:
        desk.data.remove(made)
        raise Refusal(404, "not-found", f"the job {job} was removed a moment ago; send the shot again")


def _checked(read: Callable[[], Shot]) -> Shot:
    """A shot that can be rendered, as far as can be told without its pictures. Raises `Refusal` (422)."""
    try:
        shot = read()
        check_layers(shot)
    except BadInput as error:
        raise Refusal(422, "bad-shot", str(error)) from error
    return shot


def _made(make: Callable[[], None]) -> None:
    """Make a job's folder. Raises `Refusal` (507)."""
    try:
        make()
    except OSError as error:
        raise Refusal(507, "no-room", f"the server cannot keep the shot ({error.strerror}); make room there") from error


async def _changes(job: str, jobs: Jobs, may_watch: Callable[[], bool]) -> AsyncIterator[str]:
    last, silent = None, 0.0
    while may_watch():
        now = await run_sync(jobs.get, job)
        if now is None:
            return
        if now != last:
            last, silent = now, 0.0
            yield f"data: {json.dumps(now.to_json())}\n\n"
        if now.state.is_final:
            return
        await anyio.sleep(_LOOK_SECONDS)
        silent += _LOOK_SECONDS
        if silent >= _ALIVE_SECONDS:
            silent = 0.0
            yield ": alive\n\n"
