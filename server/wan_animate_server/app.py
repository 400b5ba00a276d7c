"""The HTTP door: thin routes over queue, blobs and folders, put together. Knows no model."""

from __future__ import annotations

import os

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from wan_animate_blender.wire import WIRE_VERSION, Handed, Priority, Retake, Shot, Turn, Wanted

from . import machine, orders, refusals, results, turns, uploads
from .blobs import Blobs
from .capacity import Capacity
from .contract import describe
from .datafolder import DataFolder
from .door import AtDesk, Desk, authorised
from .handover import NOTHING_HANDED_OVER, Handover
from .jobs import Jobs
from .keyring import Keyring
from .page import entry
from .page import routes as page
from .version import version

_open = APIRouter(prefix="/v1")


def create_app(
    data: DataFolder,
    jobs: Jobs,
    keys: Keyring,
    store_limit: int | None = None,
    handover: Handover = NOTHING_HANDED_OVER,
) -> FastAPI:
    """The application over one data folder, for whoever has one of `keys`; it takes in at most `store_limit` bytes.

    `handover` says which folders of this machine may be read in place.
    """
    app = FastAPI(title="Wan Animate", version=version(), openapi_url=None, docs_url=None, redoc_url=None)
    app.state.desk = Desk(data, jobs, Blobs(data.blobs, Capacity(data.root, store_limit)), keys, handover)
    for room in (uploads, orders, turns, machine, results, entry, page):
        app.include_router(room.routes)
    app.include_router(_open)
    entry.set_up(app, jobs)
    refusals.answer_all(app)
    describe(app, Shot, Handed, Retake, Priority, Turn, Wanted)
    return app


@_open.get("/openapi.json", include_in_schema=False, dependencies=[Depends(authorised)])
def show_description(request: Request) -> JSONResponse:
    """What this server can be asked, as OpenAPI, made from the code."""
    return JSONResponse(request.app.openapi())


@_open.get("/health")
def health(request: Request, desk: AtDesk) -> JSONResponse:
    """That it lives, for anybody; what it is, for those with the token."""
    if "Authorization" not in request.headers:
        return JSONResponse({"alive": True})
    authorised(request, desk)
    about = {"version": version(), "wire": WIRE_VERSION, "models": desk.roster.models(), "pid": os.getpid()}
    return JSONResponse({"alive": True} | about)
