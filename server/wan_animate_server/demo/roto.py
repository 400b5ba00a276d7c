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

ROWS = 14
MARGIN = 0.03
"""Of the picture, around the body: the person in the plate is not of the rig's size."""


def draw_mask(name: str, scene: Any, rig: Any, frames: Iterable[int]) -> Any:
    """A mask with one closed outline around the meshes of `rig`, keyed at `frames` of `scene`."""
    mask = bpy.data.masks.new(name)
    mask.frame_start, mask.frame_end = scene.frame_start, scene.frame_end
    layer = mask.layers.new(name="person")
    layer.select = True
    spline = layer.splines.new()
    spline.points.add(2 * ROWS - 1)
    spline.use_cyclic = True
    for point in spline.points:
        point.select = True  # keys are set for what is selected only
    width, height = scene.render.resolution_x, scene.render.resolution_y
    for frame in frames:
        scene.frame_set(frame)
        outline = outline_of(seen_points(scene, rig))
        for point, (x, y) in zip(spline.points, outline, strict=True):
            # a mask's square of 0 to 1 is as wide as the longer side of the picture
            point.co = 0.5 + (x - 0.5) * width / max(width, height), 0.5 + (y - 0.5) * height / max(width, height)
            point.handle_left_type = point.handle_right_type = "VECTOR"
        set_key(mask, scene)
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
    """The left and the right side of `points` in `ROWS` bands from their lowest to their highest, as one ring."""
    points = points[(points[:, 1] > -MARGIN) & (points[:, 1] < 1 + MARGIN)]
    heights = np.linspace(points[:, 1].min(), points[:, 1].max(), ROWS)
    reach = heights[1] - heights[0]
    bands = [points[np.abs(points[:, 1] - height) <= reach, 0] for height in heights]
    heights = np.linspace(heights[0] - MARGIN, heights[-1] + MARGIN, ROWS)
    left = [(band.min() - MARGIN, height) for band, height in zip(bands, heights, strict=True)]
    right = [(band.max() + MARGIN, height) for band, height in zip(bands, heights, strict=True)]
    return np.array(left + right[::-1])


def set_key(mask: Any, scene: Any) -> None:
    """Key the mask's shape at the frame of `scene`; Blender offers this to an editor that shows the mask only."""
    window = bpy.context.window
    window.scene = scene
    area = window.screen.areas[0]
    kind, area.type = area.type, "IMAGE_EDITOR"
    area.spaces.active.mode, area.spaces.active.mask = "MASK", mask
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        if bpy.ops.mask.shape_key_insert() != {"FINISHED"}:
            raise RuntimeError(f"Blender did not key the mask {mask.name!r}")
    area.type = kind
