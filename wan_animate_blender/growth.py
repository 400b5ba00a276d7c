"""A take that arrives in parts: its strips show what is there, and grow with it. Knows nothing of servers or jobs."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import identity, placement, take, timeline
from .take import PLAIN, Options
from .wire import Take


def bring(scene: bpy.types.Scene, folder: Path, *, options: Options = PLAIN) -> list[timeline.Strip]:
    """Import the take in `folder`, or where it is in the edit already let its strips show all that is there now.

    Returns its strips. Raises `BadInput` like `take.import_take`.
    """
    found = take.read(folder)
    strips = shown(scene, found)
    if not strips:
        return take.import_take(scene, folder, options=options)
    for strip in strips:
        _grow(scene, strip, take.there(found))
    return strips


def shown(scene: bpy.types.Scene, found: Take) -> list[timeline.Strip]:
    """The strips of `scene` that show a take."""
    strips = timeline.strips_all(scene.sequence_editor) if scene.sequence_editor else []
    return [strip for strip in strips if strip.wan_animate.take == take.name_of(found)]


def _grow(scene: bpy.types.Scene, strip: timeline.Strip, frames: int) -> None:
    """Move the end of `strip` to where its first `frames` end, unless somebody trimmed it meanwhile."""
    ours, first = strip.wan_animate, timeline.content(strip).first
    start, end = timeline.frame_range(strip)
    if end == first + ours.frames and (source := identity.find(ours.parent)):
        limit = min(timeline.frame_range(source[1])[1], first + frames)
        _, limit = placement.shown_itself(placement.holder_of(scene, source[1]), source[1], start, limit)
        timeline.set_frame_range(strip, start, max(limit, end))
    ours.frames = frames
