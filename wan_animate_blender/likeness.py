"""Let one strip be seen as another one is: where on the canvas, in which colours, through which modifiers, at every
frame. Knows neither takes nor exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy

from . import timeline
from .canvas import PLACING

LOOK = ("use_flip_x", "use_flip_y", "color_multiply", "color_saturation", "blend_alpha")
WAY = ("offset_x", "offset_y", "scale_x", "scale_y", "rotation", "origin", "filter")
CROP = ("min_x", "max_x", "min_y", "max_y")
"""What an export from the source's own pixels leaves out, and the strip of its take needs in turn."""

OF_ITSELF = {"rna_type", "name", "type", "is_active", "open_mask_input_panel"}
"""Properties of a modifier that make it what it is, or are about the window."""


def copy(scene: bpy.types.Scene, source: timeline.Strip, target: timeline.Strip) -> None:
    """Give `target`, a strip of the same `scene`, the transform, crop, colours and modifiers of `source`, with their
    keyframes and drivers."""
    _copy(source, target, LOOK)
    _copy(source.transform, target.transform, WAY)
    _copy(source.crop, target.crop, CROP)
    if hasattr(source, "use_linear_modifiers"):  # until 4.5
        target.use_linear_modifiers = source.use_linear_modifiers
    for modifier in source.modifiers:
        _copy_all(modifier, target.modifiers.new(modifier.name, modifier.type))
    if scene.animation_data:
        _copy_animation(scene.animation_data, source.path_from_id() + ".", target.path_from_id() + ".")


def _copy(source: bpy.types.bpy_struct, target: bpy.types.bpy_struct, names: Iterable[str]) -> None:
    for name in names:
        setattr(target, name, getattr(source, name))


def _copy_all(source: bpy.types.bpy_struct, target: bpy.types.bpy_struct) -> None:
    """Every property that can be set, those of what belongs to `source` alone included."""
    for known in source.bl_rna.properties:
        name = known.identifier
        if name in OF_ITSELF:
            continue
        if not known.is_readonly:
            setattr(target, name, getattr(source, name))
        elif isinstance(value := getattr(source, name), bpy.types.CurveMapping):
            _copy_mapping(value, getattr(target, name))
        elif known.type == "POINTER" and value is not None:
            _copy_all(value, getattr(target, name))


def _copy_mapping(source: bpy.types.CurveMapping, target: bpy.types.CurveMapping) -> None:
    _copy_all(source, target)
    for given, made in zip(source.curves, target.curves, strict=True):
        places = [tuple(point.location) for point in given.points]
        while len(made.points) > 2:  # with fewer there is no curve
            made.points.remove(made.points[1])
        made.points[0].location, made.points[1].location = places[0], places[-1]
        for place in places[1:-1]:
            made.points.new(*place)
        for point, copied in zip(given.points, made.points, strict=True):
            copied.location, copied.handle_type = point.location, point.handle_type
    target.update()


def _copy_animation(animation: bpy.types.AnimData, source: str, target: str) -> None:
    """Keyframes and drivers of what begins with the path `source`, for what begins with `target`."""
    starts = tuple(source + name for name in PLACING)
    for curve in timeline.curves(animation):
        if curve.data_path.startswith(starts):
            path = target + curve.data_path.removeprefix(source)
            _copy_curve(curve, timeline.add_curve(animation, curve, path))
    for driver in list(animation.drivers):
        if driver.data_path.startswith(starts):
            copied = animation.drivers.from_existing(src_driver=driver)
            copied.data_path = target + driver.data_path.removeprefix(source)


def _copy_curve(source: bpy.types.FCurve, target: bpy.types.FCurve) -> None:
    _copy(source, target, ("extrapolation", "mute", "auto_smoothing"))
    target.keyframe_points.add(len(source.keyframe_points))
    for given, made in zip(source.keyframe_points, target.keyframe_points, strict=True):
        _copy_all(given, made)
    for modifier in source.modifiers:
        _copy_modifier(modifier, target)
    target.update()


def _copy_modifier(source: Any, target: bpy.types.FCurve) -> None:
    made = target.modifiers.new(source.type)
    if source.type == "ENVELOPE":
        for point in source.control_points:
            _copy_all(point, made.control_points.add(point.frame))
    _copy_all(source, made)
