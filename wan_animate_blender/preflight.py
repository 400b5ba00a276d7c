"""What stands in the way of Generate. Found out between two drawings: while it draws, Blender loads no picture."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import bpy

from . import checks, desk, identity, timeline
from .preferences import shots_folder
from .request import requests
from .wire import BadInput

FRESH_SECONDS = 10.0
"""How long an answer holds while nothing is set anew: files may come and go meanwhile."""

OF_THE_STRIP = ("strip", "folder")
"""What all people of a strip share: said once."""
PEOPLE = "people"
"""Where the panel says what is wrong with those that it does not show."""

Problems = dict[str, str]
"""One sentence for each field of the panel that has a problem."""


@dataclass(frozen=True)
class _Answer:
    question: str
    when: float
    problems: Problems


_answers: dict[str, _Answer] = {}
"""By scene and strip."""
_waiting: set[tuple[str, str]] = set()
"""Scenes and strips that a timer will look at."""


def why_not(context: bpy.types.Context) -> str:
    """Why the active strip cannot be generated now, in one sentence; empty when it can."""
    _, strip = identity.active(context)
    if strip is None:
        return "No strip is selected; click the strip of the plate"
    if strip.wan_animate.take:
        return "This strip is a take; click the strip that it was made from"
    if desk.is_busy(strip.wan_animate.uid):
        return "This strip is being worked on; wait until it is done, or cancel it"
    found = problems(context)
    return "The strip is being looked at" if found is None else next(iter(found.values()), "")


def problems(context: bpy.types.Context) -> Problems | None:
    """What has to be set right for the active strip; None while that is being found out."""
    scene, strip = identity.active(context)
    if strip is None:
        return {}
    if bpy.app.background:
        return look(scene, strip)
    place, question = f"{scene.name}/{strip.name}", _question(strip)
    known = _answers.get(place)
    if known is None or known.question != question or time.monotonic() - known.when > FRESH_SECONDS:
        _look_soon(scene.name, strip.name)
    return known.problems if known and known.question == question else None


def look(scene: bpy.types.Scene, strip: timeline.Strip) -> Problems:
    """What has to be set right before `strip` can be exported. Not while drawing."""
    ours = strip.wan_animate
    shown = ours.person or ours.add_person()
    try:
        asked = requests(scene, strip, shots_folder())
    except BadInput as problem:
        return {"settings": str(problem)}
    found: Problems = {}
    for person, one in zip(ours.people, asked, strict=True):
        wrong = checks.problems(one)
        if person == shown:
            found |= wrong
        elif others := [sentence for about, sentence in wrong.items() if about not in OF_THE_STRIP]:
            found[PEOPLE] = f"{person.name}: {others[0]}"
    return found


def _question(strip: timeline.Strip) -> str:
    """Changes whenever something is set anew on the strip."""
    ours = strip.wan_animate
    set_on_it = [_values(group) for group in (ours, ours.finish, *ours.people)]
    return repr((set_on_it, timeline.frame_range(strip), strip.type))


def _values(group: bpy.types.PropertyGroup) -> list[str]:
    return [str(getattr(group, name)) for name in group.bl_rna.properties.keys()]  # noqa: SIM118


def _look_soon(scene: str, strip: str) -> None:
    if (scene, strip) not in _waiting:
        _waiting.add((scene, strip))
        bpy.app.timers.register(functools.partial(_answer, scene, strip), first_interval=0.01, persistent=True)


def _answer(scene_name: str, strip_name: str) -> None:
    """Called by Blender's timer."""
    _waiting.discard((scene_name, strip_name))
    scene = bpy.data.scenes.get(scene_name)
    way = timeline.path(scene.sequence_editor, strip_name) if scene and scene.sequence_editor else []
    if way:
        found = look(scene, way[-1])
        for person in way[-1].wan_animate.people:
            if person.character:
                person.character.preview_ensure()
        _answers[f"{scene_name}/{strip_name}"] = _Answer(_question(way[-1]), time.monotonic(), found)
        desk.redraw()
