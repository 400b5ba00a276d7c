"""What stands in the way of an export, in sentences that say what to do. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from . import character, colours, commission, drivers, face, footage, linked, plate, pose, timeline, wire
from .commission import Request
from .wire import BadInput, FaceSource, Mode


def check(request: Request) -> list[str]:
    """What stands in the way of an export, one sentence each; [] when nothing does."""
    return list(problems(request).values())


def problems(request: Request) -> dict[str, str]:
    """The sentences of `check` by what they are about: "strip", "rig", "matte", "face", "character" …"""
    checks: dict[str, Callable[[Request], object]] = {
        "strip": _check_strip,
        "lens": commission.lens,
        "rig": _check_rig,
        "matte": _check_matte,
        "region": lambda r: commission.layers(r).check_region(commission.place(r), r.strip),
        "clean plate": lambda r: commission.layers(r).check_clean_plate(commission.place(r), r.strip),
        "effects": lambda r: commission.layers(r).check_effects(commission.place(r), r.strip),
        "face": _check_face,
        "character": lambda r: character.check(r.character),
        "people": commission.behind,
        "shot": lambda r: wire.check_name(r.name),
        "folder": _check_root,
    }
    found: dict[str, str] = {}
    for about, one in checks.items():
        sentence = _sentence(one, request)
        if sentence and sentence not in found.values():
            found[about] = sentence
    return found


def check_all(requests: Sequence[Request]) -> None:
    """Raise `BadInput` with the first sentence about any of `requests`, before the first of them is begun."""
    for request in requests:
        if problems := check(request):
            whose = f"{request.person}: " if len(requests) > 1 else ""
            raise BadInput(f"{whose}{problems[0]}")


def _sentence(one: Callable[[Request], object], request: Request) -> str | None:
    try:
        one(request)
    except BadInput as problem:
        return str(problem)
    return None


def _check_strip(request: Request) -> None:
    metas, strip = commission.around(request), request.strip
    first, end = timeline.frame_range(strip)
    before, after = (min(request.handles, room) for room in footage.handles(metas, strip))
    plate.check(strip, kind=request.raster, sources=footage.sources(metas, strip, range(first - before, end + after)))
    colours.check(request.scene, strip, request.raster, request.settings.transform)


def _check_rig(request: Request) -> None:
    seen = commission.view(request)
    pose.check(seen)
    linked.check(commission.posed(seen))
    drivers.check(commission.posed(seen))


def _check_matte(request: Request) -> None:
    if request.mode is not Mode.REPLACE:
        return
    if request.matte is None:
        raise BadInput(
            "no matte is chosen, and replacing a person needs one; choose a mask, a strip, a collection or the rig, "
            "or the mode 'animate'"
        )
    plate.check(request.strip)
    pose.check(commission.view(request))
    commission.layers(request).check_matte(commission.place(request), request.strip, request.front)


def _check_face(request: Request) -> None:
    match request.face:
        case FaceSource.RIG:
            pose.check(commission.view(request))
            face.check(commission.view(request))
        case FaceSource.DRIVING:
            face.check_strip(request.face_strip, request.strip)
        case FaceSource.STILL:
            face.check_still(request.face_still)


def _check_root(request: Request) -> None:
    nearest = next(p for p in (request.root, *request.root.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise BadInput(f"cannot write to {request.root}; choose a folder that you may write to")
