"""Which strip is which, whatever it is called and however often it was copied. Knows nothing of exports or takes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import bpy

from . import timeline
from .person import WanAnimatePerson


def mark(scene: bpy.types.Scene, strip: timeline.Strip) -> str:
    """Give `strip` an identity of its own, by which its takes find the way back, and return it.

    Copying, splitting or copying the scene copies the identity too: whoever is not the original then gets a new one,
    a new shot, and remembers its parent.
    """
    ours = strip.wan_animate
    if ours.uid and find(ours.uid) != (scene, strip):
        ours.parent, ours.uid, ours.shot = ours.uid, "", ""
        ours.jobs.clear()
    if not ours.uid:
        ours.uid = uuid.uuid4().hex
    ours.home = _home(scene, strip)
    return ours.uid


def find(uid: str) -> tuple[bpy.types.Scene, timeline.Strip] | None:
    """The strip that `uid` belongs to, and its scene: of all that carry it the one still where it was marked."""
    holders = [(scene, strip) for scene, strip in all_strips() if uid and strip.wan_animate.uid == uid]
    at_home = [(scene, strip) for scene, strip in holders if strip.wan_animate.home == _home(scene, strip)]
    return next(iter(at_home or holders), None)


def all_strips() -> Iterator[tuple[bpy.types.Scene, timeline.Strip]]:
    for scene in bpy.data.scenes:
        if scene.sequence_editor:
            yield from ((scene, strip) for strip in timeline.strips_all(scene.sequence_editor))


def _home(scene: bpy.types.Scene, strip: timeline.Strip) -> str:
    return f"{scene.name}/{strip.name}"


def active(context: bpy.types.Context) -> tuple[bpy.types.Scene, timeline.Strip | None]:
    """The edited scene, and the strip in it that panel and operators are about."""
    scene = timeline.sequencer_scene(context)
    return scene, scene.sequence_editor.active_strip if scene.sequence_editor else None


def person(context: bpy.types.Context) -> WanAnimatePerson | None:
    """The active person of the active strip."""
    strip = active(context)[1]
    return strip.wan_animate.person if strip else None
