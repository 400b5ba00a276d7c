"""The HTTP routes of what there is to render with, and of what a render would take. Knows no job's content."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import Request
from fastapi.responses import JSONResponse

from wan_animate_blender.wire import Device, Forecast, KnownModel, Problem, Wanted

from .contract import body, refusals
from .door import AtDesk, body_of, guarded
from .library import Library, Manifest, manifests
from .names import NEEDED
from .refusals import Refusal

_NOTE_LIMIT = 64 << 10
"""Bytes of what is asked."""

routes = guarded()


@routes.get("/models", response_model=list[KnownModel])
def list_models() -> JSONResponse:
    """All models that pictures can be made with, also those whose files are not here."""
    library = Library()
    known = (model for model in manifests().values() if _is_whole(model))
    return JSONResponse([_known(model, library).to_json() for model in known])


@routes.get("/devices", response_model=list[Device])
def list_devices(desk: AtDesk) -> JSONResponse:
    """The workers that are ready, what they render on, and what they have loaded."""
    return JSONResponse([device.to_json() for device in desk.roster.devices()])


@routes.post("/forecast", response_model=Forecast, responses=refusals(413), openapi_extra=body(Wanted))
async def forecast(request: Request, desk: AtDesk) -> JSONResponse:
    """What a render of these measures would take: segments, memory, seconds, disk. Needs no weights and no shot."""
    sent = await body_of(request, _NOTE_LIMIT)
    try:
        found = await run_sync(desk.estimates.ask, Wanted.loads(sent), limiter=desk.forecasting)
    except Problem as error:
        raise Refusal(422, "bad-forecast", str(error)) from error
    return JSONResponse(found.to_json())


def _is_whole(model: Manifest) -> bool:
    """Whether it is no mere detector."""
    return model.embedded or set(NEEDED) <= {file.part for file in model.files}


def _known(model: Manifest, library: Library) -> KnownModel:
    lacking = {file.part for file in library.lacking(model)}
    return KnownModel(
        name=model.name,
        title=model.title,
        installed=not lacking & set(NEEDED),
        lacking=tuple(sorted(lacking)),
        loras=tuple(sorted(library.loras(model))),
    )
