"""The HTTP door: thin routes over queue, blobs and folders, put together. Knows no model."""

from __future__ import annotations

import os

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from wan_animate_blender.wire import WIRE_VERSION

from . import orders, refusals, results, uploads
from .blobs import Blobs
from .datafolder import DataFolder
from .door import AtDesk, Desk, authorised
from .jobs import Jobs
from .version import version

_open = APIRouter(prefix="/v1")


def create_app(data: DataFolder, jobs: Jobs, token: str) -> FastAPI:
    """The application over one data folder, for whoever has `token`."""
    app = FastAPI(title="Wan Animate", version=version(), openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.desk = Desk(data, jobs, Blobs(data.blobs), token)
    for routes in (_open, uploads.routes, orders.routes, results.routes):
        app.include_router(routes)
    refusals.answer_all(app)
    return app


@_open.get("/health")
def health(request: Request, desk: AtDesk) -> JSONResponse:
    """That it lives, for anybody; what it is, for those with the token."""
    if "Authorization" not in request.headers:
        return JSONResponse({"alive": True})
    authorised(request, desk)
    about = {"version": version(), "wire": WIRE_VERSION, "models": desk.jobs.models(), "pid": os.getpid()}
    return JSONResponse({"alive": True} | about)
