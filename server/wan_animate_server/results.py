"""The HTTP routes of what a job has made: its take, frames and preview. Knows no queue."""

from __future__ import annotations

import functools
from contextlib import suppress
from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from wan_animate_blender.wire import TAKE_FILE, Job, Take, TakeState

from . import archive
from .contract import bytes_of, refusals
from .door import NEVER_STORED, AtDesk, Desk, KnownJob, guarded
from .handover import stays
from .refusals import Refusal
from .take import PREVIEW_FILE, newest_take

routes = guarded()


@routes.get("/jobs/{job}/take", response_model=Take, responses=refusals(404))
def show_take(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """What the job has rendered so far."""
    return JSONResponse(_fetched(job, desk)[1].to_json(), headers=NEVER_STORED)


@routes.get("/jobs/{job}/take.tar", response_class=Response,
            responses=refusals(404, 409) | bytes_of("application/x-tar", "take.json and its files"))  # fmt: skip
def stream_take(job: KnownJob, desk: AtDesk) -> StreamingResponse:
    """A complete take in one stream."""
    folder, take = _fetched(job, desk)
    if take.state is not TakeState.COMPLETE:
        raise Refusal(409, "not-done", f"the take of the job {job.id} is not complete; fetch its frames one by one")
    for path in take.files:
        _expect_own(folder, path)
    headers = {
        "Content-Length": str(archive.length(folder, take)),
        "Content-Disposition": f'attachment; filename="{take.shot}_{folder.name}.tar"',
    }
    return StreamingResponse(archive.pieces(folder, take), media_type="application/x-tar", headers=headers)


@routes.get("/jobs/{job}/preview", response_class=Response,
            responses=refusals(404) | bytes_of("image/png", "a picture of what is being made"))  # fmt: skip
def show_preview(job: KnownJob, desk: AtDesk) -> Response:
    """A small picture of what the model is making right now."""
    try:
        # Read at once: a file that is replaced while it is sent would end where the old one did.
        picture = (_take(job, desk)[0] / PREVIEW_FILE).read_bytes()
    except FileNotFoundError as error:
        raise Refusal(404, "not-found", f"the job {job.id} has no preview at the moment") from error
    return Response(picture, media_type="image/png", headers=NEVER_STORED)


@routes.get("/jobs/{job}/frames/{path:path}", response_class=Response,
            responses=refusals(404) | bytes_of("application/octet-stream", "the file"))  # fmt: skip
def show_frame(path: str, job: KnownJob, desk: AtDesk) -> FileResponse:
    """A file that the take lists, and nothing else."""
    folder, take = _fetched(job, desk)
    if path not in take.files:
        raise Refusal(404, "not-found", f"the take of the job {job.id} lists no file {path[:200]!r}")
    _expect_own(folder, path)
    return FileResponse(folder / path)


def _expect_own(folder: Path, path: str) -> None:
    if not stays(folder.resolve(), folder / path):
        raise Refusal(404, "not-found", f"the file {path[:200]!r} is gone, or is a link that leads out of its take")


def _fetched(job: Job, desk: Desk) -> tuple[Path, Take]:
    """The take for somebody who fetches it; of a complete one it is noted when, because it is kept that much longer."""
    folder, take = _take(job, desk)
    if take.state is TakeState.COMPLETE:
        with suppress(OSError):  # on a full disk it counts as not fetched, and is kept all the more
            desk.data.fetched(job.id).touch()
    return folder, take


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
