"""The HTTP routes of what there is to render with: models and devices. Knows no job's content."""

from __future__ import annotations

from fastapi.responses import JSONResponse

from wan_animate_blender.wire import Device, KnownModel

from .door import AtDesk, guarded
from .library import Library, Manifest, manifests
from .names import NEEDED

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
