"""The HTTP door: thin routes over queue, blobs and folders. Knows no model.

Every call but the first word of `/v1/health` wants the token, and says which wire version it speaks.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from wan_animate_blender.wire import (
    TAKE_FILE,
    WIRE_HEADER,
    WIRE_VERSION,
    BadInput,
    Job,
    Shot,
    Take,
)

from . import faces, refusals
from .blobs import Blobs, UploadError
from .datafolder import DataFolder
from .jobs import Jobs
from .refusals import Refusal
from .shot import check_layers
from .take import PREVIEW_FILE, newest_take
from .version import version
from .video import read_character

_SHOT_LIMIT = 32 << 20
"""Bytes of a shot message; a shot of 10,000 frames has about eight million."""

_BUFFER = 1 << 20
"""Bytes of an upload that are written at once."""

_MANY = 100_000
"""Most jobs that can be asked for by number."""

_LOOK_SECONDS = 0.25
_ALIVE_SECONDS = 15.0
"""Time between two looks at a job that somebody watches, and between two signs of life to him."""

_UPLOAD_STATUS = {"wrong-offset": 416, "too-large": 413, "wrong-hash": 400}


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    data: DataFolder
    jobs: Jobs
    blobs: Blobs
    token: str
    uploading: set[str] = field(default_factory=set)
    """SHA-256 of the blobs that somebody sends right now. Only the event loop touches it."""


def create_app(data: DataFolder, jobs: Jobs, token: str) -> FastAPI:
    """The application over one data folder, for whoever has `token`."""
    app = FastAPI(title="Wan Animate", version=version(), openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.desk = Desk(data, jobs, Blobs(data.blobs), token)
    app.include_router(_open)
    app.include_router(_guarded)
    refusals.answer_all(app)
    return app


# --- who may come in ------------------------------------------------------------------------------


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


def _authorised(request: Request, desk: AtDesk) -> None:
    given = request.headers.get("Authorization", "").encode()
    if not secrets.compare_digest(given, f"Bearer {desk.token}".encode()):
        raise Refusal(
            401, "unauthorised", "the token is missing or wrong; take the one from this server's token file",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip


def _same_wire(request: Request) -> None:
    given = request.headers.get(WIRE_HEADER)
    if given != str(WIRE_VERSION):
        theirs = "no wire version" if given is None else f"wire version {given[:20]}"
        raise Refusal(
            426, "wire-version", f"you speak {theirs}, this server speaks {WIRE_VERSION}; update the older of the two",
            headers={"Upgrade": f"wan-animate/{WIRE_VERSION}", "Connection": "Upgrade"},
        )  # fmt: skip


def _known_job(job: str, desk: AtDesk) -> Job:
    found = desk.jobs.get(job)
    if found is None:
        raise Refusal(404, "not-found", f"there is no job {job[:64]!r} here; ask for /v1/jobs")
    return found


def _sha256(sha256: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise Refusal(400, "bad-hash", f"{sha256[:80]!r} is no SHA-256; give 64 lower-case hex digits")
    return sha256


KnownJob = Annotated[Job, Depends(_known_job)]
Digest = Annotated[str, Depends(_sha256)]

_open = APIRouter(prefix="/v1")
_guarded = APIRouter(prefix="/v1", dependencies=[Depends(_authorised), Depends(_same_wire)])


# --- routes ---------------------------------------------------------------------------------------


@_open.get("/health")
def health(request: Request, desk: AtDesk) -> JSONResponse:
    """That it lives, for anybody; what it is, for those with the token."""
    if "Authorization" not in request.headers:
        return JSONResponse({"alive": True})
    _authorised(request, desk)
    about = {"version": version(), "wire": WIRE_VERSION, "models": desk.jobs.models(), "pid": os.getpid()}
    return JSONResponse({"alive": True} | about)


@_guarded.head("/blobs/{sha256}")
def ask_for_blob(sha256: Digest, desk: AtDesk) -> Response:
    """200 when the blob is here; else 404 with the bytes of it that are, in `Upload-Offset`."""
    if desk.blobs.has(sha256):
        return Response()
    return Response(status_code=404, headers={"Upload-Offset": str(desk.blobs.offset(sha256))})


@_guarded.put("/blobs/{sha256}")
async def put_blob(sha256: Digest, request: Request, desk: AtDesk) -> JSONResponse:
    """The body is the blob, or with `Content-Range: bytes a-b/total` a piece of it: 201 whole, 202 more to come."""
    start, total = _place(request)
    if sha256 in desk.uploading:
        raise Refusal(409, "busy", f"the blob {sha256} is being uploaded by somebody else; try again in a moment")
    desk.uploading.add(sha256)
    try:
        received = await _receive(sha256, start, total, request, desk.blobs)
    except UploadError as error:
        offset = {"Upload-Offset": str(desk.blobs.offset(sha256))}
        raise Refusal(_UPLOAD_STATUS[error.reason], error.reason, str(error), headers=offset) from error
    except ClientDisconnect as error:  # nobody hears this; the client asks for the offset and goes on
        raise Refusal(400, "broken-off", "the upload broke off; go on where it ended") from error
    except OSError as error:
        raise Refusal(
            507, "no-room", f"the server cannot keep the upload ({error.strerror}); make room there"
        ) from error
    finally:
        desk.uploading.discard(sha256)
    return JSONResponse({"received": received}, 201 if desk.blobs.has(sha256) else 202)


@_guarded.get("/blobs/{sha256}/faces")
def show_faces(sha256: Digest, desk: AtDesk) -> JSONResponse:
    """The faces in an uploaded picture, so that a character can be looked at before anything is rendered with it."""
    if not desk.blobs.has(sha256):
        raise Refusal(404, "not-found", f"there is no blob {sha256} here; upload it first")
    try:
        picture = read_character(desk.blobs.path(sha256))
    except BadInput as error:
        sentence = "the file is no picture that can be read, or is cut short; choose a whole PNG or JPEG file"
        raise Refusal(422, "bad-picture", sentence) from error
    return JSONResponse(faces.find(picture).to_json())


@_guarded.post("/jobs")
async def queue_job(request: Request, desk: AtDesk) -> JSONResponse:
    """Queue the shot in the body; 409 with the blobs to upload first."""
    body = await _body(request, _SHOT_LIMIT)
    return JSONResponse((await run_sync(_queue, body, desk)).to_json(), 201)


@_guarded.get("/jobs")
def list_jobs(desk: AtDesk, newest: Annotated[int | None, Query(ge=0, le=_MANY)] = None) -> JSONResponse:
    """All jobs, in order of arrival, or the last of them."""
    return JSONResponse([job.to_json() for job in desk.jobs.all(newest)])


@_guarded.get("/jobs/{job}")
def show_job(job: KnownJob) -> JSONResponse:
    return JSONResponse(job.to_json())


@_guarded.delete("/jobs/{job}", status_code=202)
def cancel_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Ask the job to stop; what it finished is kept."""
    return JSONResponse((desk.jobs.cancel(job.id) or job).to_json(), 202)


@_guarded.post("/jobs/{job}/retry", status_code=202)
def retry_job(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """Queue a failed or cancelled job again; what it had finished is not rendered again."""
    if not desk.jobs.retry(job.id):
        raise Refusal(
            409, "not-over", f"the job {job.id} is {job.state}; only a failed or cancelled one is tried again"
        )
    return JSONResponse((desk.jobs.get(job.id) or job).to_json(), 202)


@_guarded.post("/jobs/{job}/remove", status_code=204)
def remove_job(job: KnownJob, desk: AtDesk) -> Response:
    """Forget a job that has ended, with its take; finished segments are kept."""
    if not desk.jobs.remove(job.id):
        raise Refusal(409, "not-over", f"the job {job.id} is {job.state}; cancel it before it is removed")
    desk.data.remove(job.id)
    return Response(status_code=204)


@_guarded.get("/jobs/{job}/events")
def watch_job(job: KnownJob, desk: AtDesk) -> StreamingResponse:
    """Server-sent events: the job at every change, until it is final."""
    return StreamingResponse(_changes(job.id, desk.jobs), media_type="text/event-stream", headers=_NEVER_STORED)


@_guarded.get("/jobs/{job}/take")
def show_take(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """What the job has rendered so far."""
    return JSONResponse(_take(job, desk)[1].to_json(), headers=_NEVER_STORED)


@_guarded.get("/jobs/{job}/preview")
def show_preview(job: KnownJob, desk: AtDesk) -> FileResponse:
    """A small picture of what the model is making right now."""
    picture = _take(job, desk)[0] / PREVIEW_FILE
    if not picture.is_file():
        raise Refusal(404, "not-found", f"the job {job.id} has no preview at the moment")
    return FileResponse(picture, media_type="image/png", headers=_NEVER_STORED)


@_guarded.get("/jobs/{job}/frames/{path:path}")
def show_frame(path: str, job: KnownJob, desk: AtDesk) -> FileResponse:
    """A file that the take lists, and nothing else."""
    folder, take = _take(job, desk)
    if path not in take.files:
        raise Refusal(404, "not-found", f"the take of the job {job.id} lists no file {path[:200]!r}")
    return FileResponse(folder / path)


# --- what the routes do ---------------------------------------------------------------------------

_NEVER_STORED = {"Cache-Control": "no-store"}


def _place(request: Request) -> tuple[int, int | None]:
    """First byte and total length of an upload; None where the length shows only at its end."""
    given = request.headers.get("Content-Range")
    if given is None:
        length = request.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", given)
    start, last, total = map(int, match.groups()) if match else (0, 0, 0)
    if not start <= last < total:
        raise Refusal(400, "bad-range", f"Content-Range is {given[:60]!r}, expected 'bytes first-last/total'")
    return start, total


async def _receive(sha256: str, start: int, total: int | None, request: Request, blobs: Blobs) -> int:
    """Keep what the body holds. Returns the bytes of the blob that are here."""
    known = blobs.has(sha256)
    if not known:
        await run_sync(blobs.begin, sha256, start)
    async for data in _pieces(request):
        if not known:
            await run_sync(blobs.append, sha256, data)
    offset = blobs.path(sha256).stat().st_size if known else blobs.offset(sha256)
    if not known and (total is None or offset >= total):
        await run_sync(blobs.finish, sha256)
    return offset


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces worth a write; what came before a lost connection is not lost."""
    piece = bytearray()
    try:
        async for data in request.stream():
            piece += data
            if len(piece) >= _BUFFER:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect:
        yield bytes(piece)
        raise
    yield bytes(piece)


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > limit:
            raise Refusal(413, "too-large", f"the message has more than {limit} bytes; no shot has")
    return bytes(body)


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


def _take(job: Job, desk: Desk) -> tuple[Path, Take]:
    folder = newest_take(desk.data.takes(job.id, job.shot))
    try:
        if folder:
            return folder, _parsed((folder / TAKE_FILE).read_bytes())
    except FileNotFoundError:  # its folder was made a moment ago
        pass
    raise Refusal(404, "not-found", f"the job {job.id} has no take yet; ask again when it renders")


@functools.lru_cache(maxsize=32)
def _parsed(text: bytes) -> Take:
    """Kept, because a client asks for many frames of one take."""
    return Take.loads(text)
