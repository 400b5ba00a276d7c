"""The HTTP routes of the page: what people see, and what they do there. Knows neither tokens nor pixels."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from wan_animate_blender.wire import BadInput, Job

from .. import joblog, results
from ..door import AtDesk, Desk, KnownJob
from ..handover import stays
from ..refusals import Refusal
from .deeds import DEEDS, Order
from .entry import GUARDS, PRIVATE, Known, OwnForm, Page, ThePage, Visitor, as_sentence, known, visitor
from .look import SECONDS, Seen
from .pictures import small
from .reel import PLATE, Reel, wind
from .sessions import Session

_ALIVE_SECONDS = 15.0
"""Time between two signs of life to somebody who watches."""

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""For pictures whose address is the SHA-256 of what they show."""

_STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Written down, because what a system says of endings differs."""

routes = APIRouter(include_in_schema=False)
_inside = APIRouter(prefix="/page", dependencies=[Depends(known)], include_in_schema=False)


def _reel(job: KnownJob, desk: AtDesk) -> Reel:
    try:
        export = desk.jobs.folder(job.id) or desk.data.export(job.id, job.shot)
        return wind(export, desk.data.takes(job.id, job.shot))
    except BadInput as error:
        raise Refusal(404, "not-found", str(error)) from error


TheReel = Annotated[Reel, Depends(_reel)]


@routes.get("/")
def show_page(desk: AtDesk, page: ThePage, session: Visitor, job: str = "") -> Response:
    """The page, or the form for the token."""
    if session is None:
        return page.html("login.html", sentence="")
    if job and desk.jobs.get(job) is None:
        return _whole(desk, page, session, None, 404, f"There is no job {job[:64]!r} here any more.")
    return _whole(desk, page, session, desk.jobs.get(job))


@routes.get("/page/static/{name}")
def show_static(name: str) -> FileResponse:
    """Style, scripts and icon, which the form for the token needs, too."""
    if name not in _STATIC:
        raise Refusal(404, "not-found", f"the page has no file {name[:100]!r}")
    media = _TYPES[_STATIC[name].suffix]
    return FileResponse(_STATIC[name], media_type=media, headers=GUARDS | {"Cache-Control": "no-cache"})


@_inside.get("/events")
def watch(request: Request, desk: AtDesk, page: ThePage, session: Known, job: str = "") -> StreamingResponse:
    """Server-sent events: the rows of the queue that changed, and the job that is open."""
    changes = _changes(page, session, lambda: visitor(request, page, desk) is not None, job)
    return StreamingResponse(changes, media_type="text/event-stream", headers=PRIVATE)


@_inside.post("/jobs/{job}/{deed}")
async def act(deed: str, job: KnownJob, desk: AtDesk, page: ThePage, session: Known, form: OwnForm) -> Response:
    """Do what a button says, and show the page again."""
    if deed not in DEEDS:
        raise Refusal(404, "not-found", f"nothing called {deed[:40]!r} can be done with a job")
    try:
        opened = await run_sync(DEEDS[deed], Order(job, form, session.token.name, desk))
    except Refusal as refusal:
        return await run_sync(_whole, desk, page, session, job, refusal.status, as_sentence(refusal))
    return _back(opened)


@_inside.post("/queue/{deed}")
async def act_on_queue(deed: Literal["pause", "resume"], desk: AtDesk, form: OwnForm) -> Response:
    """Begin no waiting job any more, or begin them again, and show the page again."""
    await run_sync(desk.jobs.hold, deed == "pause")
    return _back(form.get("opened", ""))


@_inside.get("/jobs/{job}/log")
def show_log(job: KnownJob, desk: AtDesk) -> PlainTextResponse:
    """What workers said while they had the job."""
    return PlainTextResponse(joblog.tail(desk.data.log(job.id)), headers=PRIVATE)


@_inside.get("/jobs/{job}/preview")
def show_preview(job: KnownJob, desk: AtDesk) -> Response:
    """What the model is making right now."""
    return results.show_preview(job, desk)


@_inside.get("/jobs/{job}/reel")
def show_reel(reel: TheReel) -> JSONResponse:
    """Which pictures there are to play, frame by frame."""
    said = {"fps": reel.fps, "first": reel.first, "cut": reel.cut, "take": reel.take, "layers": reel.layers}
    return JSONResponse(said, headers=PRIVATE)


@_inside.get("/jobs/{job}/poster")
def show_poster(job: KnownJob, desk: AtDesk, reel: TheReel) -> FileResponse:
    """One frame from the middle of what the job has made so far."""
    made = next((row for layer, row in reel.layers.items() if layer != PLATE), ())
    there = [sha256 for sha256 in made if sha256]
    if not there:
        raise Refusal(404, "not-found", f"the job {job.id} has made no frame yet")
    return show_picture(there[len(there) // 2], job, desk, reel)


@_inside.get("/jobs/{job}/pictures/{sha256}")
def show_picture(sha256: str, job: KnownJob, desk: AtDesk, reel: TheReel) -> FileResponse:
    """A frame of the plate or of the take, small and as a person sees it."""
    folder, path = reel.files.get(sha256, (Path(), ""))
    if not path or not stays(folder.resolve(), folder / path):
        raise Refusal(404, "not-found", f"the job {job.id} has no picture {sha256[:80]!r} to show")
    try:
        file = small(folder / path, reel.space, desk.data.previews(job.id) / f"{sha256}.jpg")
    except BadInput as error:
        raise Refusal(404, "not-found", str(error)) from error
    except OSError as error:
        raise Refusal(
            507, "no-room", f"the server cannot keep a preview ({error.strerror}); make room there"
        ) from error
    return FileResponse(file, media_type="image/jpeg", headers=GUARDS | _FOREVER)


routes.include_router(_inside)


def _whole(
    desk: Desk, page: Page, session: Session, job: Job | None, status: int = 200, sentence: str = ""
) -> Response:
    """The whole page, with what is known of `job` beside the queue and a `sentence` above both."""
    said, seen = joblog.tail(desk.data.log(job.id)) if job else "", page.look.fresh()
    return page.html(
        "page.html", status, jobs=seen.jobs, job=job, opened=job.id if job else "", reel=_shown(desk, job), log=said,
        session=session, sentence=sentence, devices=seen.devices, queue=seen.queue,
    )  # fmt: skip


def _back(opened: str) -> RedirectResponse:
    return RedirectResponse(f"/?job={opened}" if opened else "/", 303, PRIVATE)


def _shown(desk: Desk, job: Job | None) -> Reel | None:
    try:
        return _reel(job, desk) if job else None
    except Refusal:  # a job whose folder is gone has nothing to play; its row says what there is to say
        return None


async def _changes(page: Page, session: Session, alive: Callable[[], bool], opened: str) -> AsyncIterator[str]:
    """What changed since the last look, as pieces of the page; ends with the session."""
    yield "retry: 1000\n\n"
    before: dict[str, Any] = {}
    known: dict[str, Job] = {}
    silent = 0.0
    while await run_sync(alive):
        seen = await run_sync(page.look.recent)
        changed = [job for job in seen.jobs if known.get(job.id) != job]
        frame = {"order": [job.id for job in seen.jobs], "machine": _machine(page, session, seen, opened)}
        if changed or frame != before:
            known, before, silent = {job.id: job for job in seen.jobs}, frame, 0.0
            yield f"data: {json.dumps(frame | _pieces(page, session, changed, opened))}\n\n"
        await anyio.sleep(SECONDS)
        silent += SECONDS
        if silent >= _ALIVE_SECONDS:
            silent = 0.0
            yield ": alive\n\n"


def _machine(page: Page, session: Session, seen: Seen, opened: str) -> str:
    """What there is to render with, and whether anything is begun."""
    return page.part("machine.html", devices=seen.devices, queue=seen.queue, session=session, opened=opened)


def _pieces(page: Page, session: Session, changed: list[Job], opened: str) -> dict[str, Any]:
    """The HTML of the rows that changed, by job, and of the job that is open, if it did."""
    rows = {job.id: page.part("row.html", job=job, opened=opened) for job in changed}
    standing = next((page.part("standing.html", job=job, session=session) for job in changed if job.id == opened), None)
    return {"rows": rows, "job": standing}
