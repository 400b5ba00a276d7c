"""The HTTP routes of jobs: queued, watched, cancelled, tried again, removed. Knows no pictures."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from wan_animate_blender.wire import BadInput, Job, Shot

from .door import NEVER_STORED, AtDesk, Desk, KnownJob, body_of, guarded
from .jobs import Jobs
from .refusals import Refusal
from .shot import check_layers

_SHOT_LIMIT = 32 << 20
"""Bytes of a shot message; a shot of 10,000 frames has about eight million."""

_MANY = 100_000
"""Most jobs that can be asked for by number."""

_LOOK_SECONDS = 0.25
_ALIVE_SECONDS = 15.0
"""Time between two looks at a job that somebody watches, and between two signs of life to him."""

routes = guarded()


@routes.post("/jobs")
async def queue_job(request: Request, desk: AtDesk) -> JSONResponse:
    """Queue the shot in the body; 409 with the blobs to upload first."""
    body = await body_of(request, _SHOT_LIMIT)
    return JSONResponse((await run_sync(_queue, body, desk)).to_json(), 201)


@routes.get("/jobs")
def list_jobs(desk: AtDesk, newest: Annotated[int | None, Query(ge=0, le=_MANY)] = None) -> JSONResponse:
    """All jobs, in order of arrival, or the last of them."""
    return JSONResponse([job.to_json() for job in desk.jobs.all(newest)])


@routes.get("/jobs/{job}")
def show_job(job: KnownJob) -> JSONResponse:
    return JSONResponse(job.to_json())


@routes.delete("/jobs/{job}", status_code=202)
def cancel_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Ask the job to stop; what it finished is kept."""
    return JSONResponse((desk.jobs.cancel(job.id) or job).to_json(), 202)


@routes.post("/jobs/{job}/retry", status_code=202)
def retry_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Queue a failed or cancelled job again; what it had finished is not rendered again."""
    if not desk.jobs.retry(job.id):
        raise Refusal(
            409, "not-over", f"the job {job.id} is {job.state}; only a failed or cancelled one is tried again"
        )
    return JSONResponse((desk.jobs.get(job.id) or job).to_json(), 202)


@routes.post("/jobs/{job}/remove", status_code=204)
def remove_job(job: KnownJob, desk: AtDesk) -> Response:
    """Forget a job that has ended, with its take; finished segments are kept."""
    if not desk.jobs.remove(job.id):
        raise Refusal(409, "not-over", f"the job {job.id} is {job.state}; cancel it before it is removed")
    desk.data.remove(job.id)
    return Response(status_code=204)


@routes.get("/jobs/{job}/events")
def watch_job(job: KnownJob, desk: AtDesk) -> StreamingResponse:
    """Server-sent events: the job at every change, until it is final."""
    return StreamingResponse(_changes(job.id, desk.jobs), media_type="text/event-stream", headers=NEVER_STORED)


def _queue(body: bytes, desk: Desk) -> Job:
    try:
        shot = Shot.loads(body)
        check_layers(shot)
    except BadInput as error:
        raise Refusal(422, "bad-shot", str(error)) from error
    if missing := desk.blobs.missing(shot.files.values()):
        raise Refusal(
            409, "missing-blobs", f"{len(missing)} files of the shot are not here yet; upload them", missing=missing
        )
    job = uuid.uuid4().hex
    try:
        desk.data.lay_out(job, shot, desk.blobs.path)
    except OSError as error:
        raise Refusal(507, "no-room", f"the server cannot keep the shot ({error.strerror}); make room there") from error
    return desk.jobs.add(job, shot)


async def _changes(job: str, jobs: Jobs) -> AsyncIterator[str]:
    last, silent = None, 0.0
    while True:
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
