"""The HTTP routes of what a job has made: its take, frames and preview. Knows no queue."""

from __future__ import annotations

import functools
from pathlib import Path

from fastapi.responses import FileResponse, JSONResponse

from wan_animate_blender.wire import TAKE_FILE, Job, Take

from .door import NEVER_STORED, AtDesk, Desk, KnownJob, guarded
from .refusals import Refusal
from .take import PREVIEW_FILE, newest_take

routes = guarded()


@routes.get("/jobs/{job}/take")
def show_take(job: KnownJob, desk: AtDesk) -> JSONResponse:
    """What the job has rendered so far."""
    return JSONResponse(_take(job, desk)[1].to_json(), headers=NEVER_STORED)


@routes.get("/jobs/{job}/preview")
def show_preview(job: KnownJob, desk: AtDesk) -> FileResponse:
    """A small picture of what the model is making right now."""
    picture = _take(job, desk)[0] / PREVIEW_FILE
    if not picture.is_file():
        raise Refusal(404, "not-found", f"the job {job.id} has no preview at the moment")
    return FileResponse(picture, media_type="image/png", headers=NEVER_STORED)


@routes.get("/jobs/{job}/frames/{path:path}")
def show_frame(path: str, job: KnownJob, desk: AtDesk) -> FileResponse:
    """A file that the take lists, and nothing else."""
    folder, take = _take(job, desk)
    if path not in take.files:
        raise Refusal(404, "not-found", f"the take of the job {job.id} lists no file {path[:200]!r}")
    return FileResponse(folder / path)


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
