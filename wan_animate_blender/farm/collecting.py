"""The strips of a file that are marked for Wan Animate, in all of its scenes, and the shots that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy

from .. import commission, identity, request, timeline
from ..wire import BadInput

Found = tuple[bpy.types.Scene, timeline.Strip]


def marked() -> list[Found]:
    """All strips of which a rig or a character is to make something; takes are what was made already."""
    return [(scene, strip) for scene, strip in identity.all_strips() if _is_marked(strip)]


def _is_marked(strip: timeline.Strip) -> bool:
    ours = strip.wan_animate
    return not ours.take and any(person.rig or person.character for person in ours.people)


def collect(root: Path, names: Sequence[str] = (), scene: str = "") -> list[list[commission.Request]]:
    """What the marked strips ask for below `root`, each strip's people back to front.

    Only strips of `names`, and only those in `scene`, where these are given.

    Gives strips their identities and names, as an export does. Raises `BadInput` where there is none, where two shots
    have one name, and for settings that no model takes.
    """
    found = _called(names, scene)
    asked = [request.prepare(scene, strip, root) for scene, strip in found]
    taken: dict[str, commission.Request] = {}
    for one in (one for people in asked for one in people):
        other = taken.setdefault(one.name.casefold(), one)  # many disks do not tell sh010 from SH010
        if other is not one:
            raise BadInput(
                f"{_place(other)} and {_place(one)} both have the shot {one.name!r}; "
                "enter another name for one of them in the panel Wan Animate"
            )
    return asked


def _called(names: Sequence[str], place: str) -> list[Found]:
    there = [(scene, strip) for scene, strip in marked() if place in ("", scene.name)]
    found = [(scene, strip) for scene, strip in there if not names or strip.name in names]
    known = {strip.name for _, strip in found}
    if lacking := [name for name in names if name not in known]:
        others = ", ".join(sorted({strip.name for _, strip in there})[:20]) or "none"
        raise BadInput(f"no strip {lacking[0]!r} is marked for Wan Animate; those that are: {others}")
    if not found:
        raise BadInput("no strip is marked for Wan Animate; choose a rig and a character for one in its panel")
    return found


def _place(one: commission.Request) -> str:
    return f"{one.strip.name!r} in the scene {one.scene.name!r}"


def find(name: str, root: Path) -> commission.Request:
    """What is asked for by the shot `name`, in whatever scene it is. Changes nothing. Raises `BadInput`."""
    shots: dict[str, Found] = {}
    for scene, strip in marked():
        if identity.find(strip.wan_animate.uid) == (scene, strip):  # and no copy, which has its names, too
            shots |= {person.shot: (scene, strip) for person in strip.wan_animate.people}
    if name not in shots:
        known = ", ".join(sorted(filter(None, shots))[:20]) or "none"
        raise BadInput(f"the file has no shot {name!r}; its shots are: {known}")
    return next(one for one in request.requests(*shots[name], root) if one.name == name)
