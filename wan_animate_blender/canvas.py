"""Where the pixels of a strip lie on the canvas of its edit. Knows nothing of colours, files of a shot or rigs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from . import timeline
from .wire import Raster, RasterKind

PLACING = ("transform.", "crop.", "use_flip_", "color_", "blend_alpha", "multiply_alpha", "modifiers[")
"""Properties of a strip, by the beginning of their names, that the source's own pixels are free of."""

Read = Callable[..., Any]
"""A property of a strip by its path, such as "transform.scale_x", and which of several, as it stands at one frame."""


def raster(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind) -> Raster:
    """The pixels to export: the strip's own with the way they take to the canvas, or the canvas itself.

    Strips that have no pixels of their own (text, colours, effects, metas, masks) always give the canvas. The way
    leads through all metas around the strip, as keyframes have it at the cut's first frame (see `is_animated`).
    """
    size_of_canvas = scene.render.resolution_x, scene.render.resolution_y
    size = own_size(strip) if kind is RasterKind.SOURCE else None
    if size is None:
        return Raster(kind=RasterKind.CANVAS, width=size_of_canvas[0], height=size_of_canvas[1])
    *metas, _ = timeline.path(scene.sequence_editor, strip.name)
    frame = timeline.frame_range(strip)[0]
    matrix = _to_canvas(_reader(scene, strip, frame), size, size_of_canvas)
    for meta in reversed(metas):
        matrix = _to_canvas(_reader(scene, meta, frame), size_of_canvas, size_of_canvas) @ matrix
    return Raster(kind=kind, width=size[0], height=size[1], matrix=tuple(map(float, matrix.flat)))


def own_size(strip: timeline.Strip) -> tuple[int, int] | None:
    """Width and height of the pixels that `strip` has whatever the canvas; None when it has none."""
    match strip.type:
        case "IMAGE" | "MOVIE":
            first = strip.elements[0]  # only the first one knows its size, the others hold garbage
            return first.orig_width, first.orig_height
        case "MOVIECLIP":
            return tuple(timeline.clip(strip).size)
        case "SCENE":
            return _rendered_size(strip.scene.render)
    return None


def _rendered_size(render: bpy.types.RenderSettings) -> tuple[int, int]:
    """What a scene strip is rendered as: its scene's percentage and crop are part of its picture."""
    percent = render.resolution_percentage
    width, height = render.resolution_x * percent // 100, render.resolution_y * percent // 100
    if render.use_border and render.use_crop_to_border:
        width = int(render.border_max_x * width) - int(render.border_min_x * width)
        height = int(render.border_max_y * height) - int(render.border_min_y * height)
    return width, height


def is_animated(scene: bpy.types.Scene, strip: timeline.Strip) -> bool:
    """Whether where or how `strip` is seen on the canvas changes with time: by keyframes or drivers, of its metas too.

    Then one matrix does not say it all, and what is put over the strip needs the same animation.
    """
    around = timeline.path(scene.sequence_editor, strip.name)
    starts = tuple(one.path_from_id() + "." + name for one in around for name in PLACING)
    drivers = scene.animation_data.drivers if scene.animation_data else ()
    return any(curve.data_path.startswith(starts) for curve in (*timeline.curves(scene.animation_data), *drivers))


def _reader(scene: bpy.types.Scene, strip: timeline.Strip, frame: int) -> Read:
    """Properties of `strip` as the scene's keyframes have them at `frame`, without going there."""
    start = strip.path_from_id() + "."
    keyed = {
        (curve.data_path.removeprefix(start), curve.array_index): curve
        for curve in timeline.curves(scene.animation_data)
        if curve.data_path.startswith(start)
    }

    def read(name: str, index: int | None = None) -> Any:
        value = strip.path_resolve(name)
        curve = keyed.get((name, index or 0))
        if curve:
            return curve.evaluate(frame)
        return value if index is None else value[index]

    return read


def _to_canvas(read: Read, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """3×3: the sequencer's transform (seq_render.cc, sequencer_image_crop_transform_matrix) with y down."""
    offset = np.array([read("transform.offset_x"), read("transform.offset_y")])
    scale = np.array([read("transform.scale_x"), read("transform.scale_y")])
    pivot = np.multiply(size, [read("transform.origin", axis) for axis in (0, 1)])
    move = offset + np.subtract(canvas, size) / 2
    cos, sin = math.cos(read("transform.rotation")), math.sin(read("transform.rotation"))
    turn = np.array([[cos, -sin], [sin, cos]]) * scale
    upright = np.eye(3)
    upright[:2, :2], upright[:2, 2] = turn, pivot + move - turn @ pivot
    return _mirror(read, canvas) @ _flip_y(canvas[1]) @ upright @ _flip_y(size[1])


def _flip_y(height: int) -> np.ndarray:
    return np.array([[1.0, 0, 0], [0, -1, height], [0, 0, 1]])


def _mirror(read: Read, size: tuple[int, int]) -> np.ndarray:
    """The strip's flips, which Blender makes last, on the whole canvas of `size`."""
    mirror = np.eye(3)
    for axis, name in enumerate(("use_flip_x", "use_flip_y")):
        if read(name):
            mirror[axis, axis], mirror[axis, 2] = -1, size[axis]
    return mirror
