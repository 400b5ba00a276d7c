"""The HTTP routes of the queue's order: priorities, turns, pauses. Knows no shot."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse

from wan_animate_blender.wire import BadInput, Job, JobState, Priority, Queue, Turn

from .contract import body, refusals
from .door import AtDesk, Desk, KnownJob, body_of, guarded
from .refusals import Refusal

_LIMIT = 4096
"""Bytes of a message."""

routes = guarded()


@routes.put("/jobs/{job}/priority", response_model=Job, responses=refusals(404, 409, 413),
            openapi_extra=body(Priority))  # fmt: skip
async def give_priority(request: Request, job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Let a job be rendered before all with less; one that runs keeps it for when it waits again."""
    sent = await body_of(request, _LIMIT)
    try:
        priority = Priority.loads(sent).priority
    except BadInput as error:
        raise Refusal(422, "bad-priority", str(error)) from error
    if not await run_sync(desk.jobs.prioritise, job.id, priority):
        raise Refusal(409, "over", f"the job {job.id} is {job.state}; only one that has not ended has a priority")
    return await run_sync(_answer, job, desk, 200)


@routes.post("/jobs/{job}/move", response_model=Job, responses=refusals(404, 409, 413), openapi_extra=body(Turn))
async def move_job(request: Request, job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Let a waiting job be rendered right before another one, or before all others; it gets that one's priority."""
    sent = await body_of(request, _LIMIT)
    try:
        turn = Turn.loads(sent)
    except BadInput as error:
        raise Refusal(422, "bad-turn", str(error)) from error
    if not await run_sync(desk.jobs.move, job.id, turn.before):
        raise Refusal(409, "not-queued", "one of the two jobs does not wait; look at the queue again")
    return await run_sync(_answer, job, desk, 200)


@routes.post("/jobs/{job}/pause", status_code=202, response_model=Job, responses=refusals(404, 409))
def pause_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Put a job aside until it is let go on; finished segments are kept."""
    now = desk.jobs.pause(job.id) or job
    if now.state not in (JobState.PAUSED, JobState.PAUSING):
        raise Refusal(409, "over", f"the job {job.id} is {now.state}; only one that waits or runs is put aside")
    return JSONResponse(now.to_json(), 202)


@routes.post("/jobs/{job}/resume", status_code=202, response_model=Job, responses=refusals(404, 409))
def resume_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Let a job that was put aside go on at the segment where it stood, in the place where it waited."""
    now = desk.jobs.resume(job.id) or job
    if now.state not in (JobState.QUEUED, JobState.RUNNING):
        raise Refusal(409, "not-paused", f"the job {job.id} is {now.state}; only one that was put aside goes on")
    return JSONResponse(now.to_json(), 202)


@routes.get("/queue", response_model=Queue)
def show_queue(desk: AtDesk) -> JSONResponse:
    return JSONResponse(desk.jobs.queue().to_json())


@routes.post("/queue/pause", response_model=Queue)
def pause_queue(desk: AtDesk) -> JSONResponse:
    """Begin no waiting job any more, also after a restart; what runs goes on."""
    return JSONResponse(desk.jobs.hold(True).to_json())


@routes.post("/queue/resume", response_model=Queue)
def resume_queue(desk: AtDesk) -> JSONResponse:
    """Begin waiting jobs again."""
    return JSONResponse(desk.jobs.hold(False).to_json())


def _answer(job: Job, desk: Desk, status: int) -> JSONResponse:
    return JSONResponse((desk.jobs.get(job.id) or job).to_json(), status)
