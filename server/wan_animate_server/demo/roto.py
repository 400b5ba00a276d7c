"""A mask around a rig as the camera sees it, for footage that came without a matte; knows no strip.

Runs inside Blender.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]

CORNERS = 24
GROWN = 1.12
"""How much wider than the body the mask is: the person in the plate is not of the rig's size."""


def draw_mask(name: str, scene: Any, rig: Any, frames: Iterable[int]) -> Any:
    """A mask with one closed outline around the meshes of `rig`, keyed at `frames` of `scene`."""
    mask = bpy.data.masks.new(name)
    mask.frame_start, mask.frame_end = scene.frame_start, scene.frame_end
    layer = mask.layers.new(name="person")
    layer.select = True  # keys are set for selected layers only
    spline = layer.splines.new()
    spline.points.add(CORNERS - 1)
    spline.use_cyclic = True
    width, height = scene.render.resolution_x, scene.render.resolution_y
    for frame in frames:
        scene.frame_set(frame)
        outline = outline_of(seen_points(scene, rig))
        for point, (x, y) in zip(spline.points, outline, strict=True):
            # a mask's square of 0 to 1 is as wide as the longer side of the picture
            point.co = 0.5 + (x - 0.5) * width / max(width, height), 0.5 + (y - 0.5) * height / max(width, height)
            point.handle_left_type = point.handle_right_type = "AUTO"
        set_key(mask)
    return mask


def seen_points(scene: Any, rig: Any) -> Outline:
    """Where the vertices [n, 2] of the rig's meshes are in the picture, 0 to 1 from its lower left corner."""
    graph = scene.view_layers[0].depsgraph
    camera = scene.camera.evaluated_get(graph)
    view = np.array(camera.matrix_world.normalized().inverted())
    size = {"x": scene.render.resolution_x, "y": scene.render.resolution_y}
    lens = np.array(camera.calc_matrix_camera(graph, **size)) @ view
    found = []
    for thing in rig.children:
        body = thing.evaluated_get(graph)
        points = np.empty(len(body.data.vertices) * 3)
        body.data.vertices.foreach_get("co", points)
        world = np.c_[points.reshape(-1, 3), np.ones(len(points) // 3)] @ (lens @ np.array(body.matrix_world)).T
        found.append(world[:, :2] / world[:, 3:] * 0.5 + 0.5)
    return np.concatenate(found)


def outline_of(points: Outline) -> Outline:
    """A ring of `CORNERS` points around `points`, each as far from their middle as the farthest in its direction."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    away = points - middle
    angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
    sector = np.round(np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi) * CORNERS).astype(int) % CORNERS
    reach = np.zeros(CORNERS)
    np.maximum.at(reach, sector, np.linalg.norm(away, axis=1))
    reach = np.maximum(reach, (np.roll(reach, 1) + np.roll(reach, -1)) / 2) * GROWN
    ring: Outline = middle + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return ring


def set_key(mask: Any) -> None:
    """Key the mask's shape at the scene's frame; Blender offers this to an editor that shows the mask only."""
    window = bpy.context.window
    area = window.screen.areas[0]
    kind, area.type = area.type, "IMAGE_EDITOR"
    area.spaces.active.mode, area.spaces.active.mask = "MASK", mask
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        bpy.ops.mask.shape_key_insert()
    area.type = kind
