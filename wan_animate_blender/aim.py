"""A temporary camera that sees any box of what the shot's camera sees. Knows no faces, no mattes and no files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import bpy
import numpy as np

from . import pose

SENSOR = 36.0
"""Millimetres; any would do, for the focal length is set to go with it."""


@contextlib.contextmanager
def camera(scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """A camera in a temporary scene, removed afterwards with all that is parented to it there."""
    data = bpy.data.cameras.new(".wan_animate")
    finder = bpy.data.objects.new(".wan_animate", data)
    scene.collection.objects.link(finder)
    try:
        yield finder
    finally:
        for thing in [thing for thing in scene.objects if finder in (thing, thing.parent)]:
            bpy.data.objects.remove(thing)
        bpy.data.cameras.remove(data)


def at(
    finder: bpy.types.Object, view: pose.View, box: Sequence[float], render: bpy.types.RenderSettings
) -> None:  # fmt: skip
    """Let `finder` see exactly `box` of what the camera of `view` sees now, on all pixels of a temporary `render`.

    `box` is x0, y0, x1, y1 in plate pixels as a camera without distortion sees them (`lens.Lens.straight`); it may lie
    outside the plate. Sets the pixel aspect of `render`, too.
    """
    filming = pose.camera_now(view)
    matrix = pose.projection(view, filming)
    seer = filming.evaluated_get(pose.depsgraph(view))
    corners = np.array([[box[0], box[3]], [box[2], box[1]]]) / [view.width, view.height]
    screen = corners * [2, -2] + [-1, 1]
    flat = seer.data.type == "ORTHO"
    # Perspective: screen = m00·x/−z − m02. Orthographic: screen = m00·x + m03.
    place = (screen + (-matrix[:2, 3] if flat else matrix[:2, 2])) / matrix[[0, 1], [0, 1]]
    width, height = place[1] - place[0]
    data = finder.data
    data.type, data.sensor_fit, data.sensor_width = seer.data.type, "HORIZONTAL", SENSOR
    data.clip_start, data.clip_end = seer.data.clip_start, seer.data.clip_end
    data.lens, data.ortho_scale = (data.lens, width) if flat else (SENSOR / width, data.ortho_scale)
    data.shift_x, data.shift_y = place.mean(axis=0) / width
    if finder.parent != filming:
        finder.parent = filming  # and so it moves while a shutter is open
    aspect = height / width * render.resolution_x / render.resolution_y
    render.pixel_aspect_x, render.pixel_aspect_y = max(1 / aspect, 1.0), max(aspect, 1.0)
