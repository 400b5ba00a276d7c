"""Objects as they hide and are hidden, white on black, rendered exactly and fast. Knows no strips and no shots."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import aim, grey, pose, stills
from .edges import Grey

SAMPLES = 64
"""Rays for each pixel of an edge: with these no pixel is more than 1/16 off what is truly covered (with 16: 1/7)."""
LEAST, ALIKE = 4, 0.001
"""A pixel whose rays have all met the same after Cycles' first 16 needs no more: as good as 64, and as fast as 16."""
MARGIN = 3
"""Pixels around the objects' boxes that are rendered too: modifiers may be finer in renders than in the window."""
SLACK, NEAR = 0.25, 0.01
"""The same behind them, in their own depth and in their distance."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, y down; x1 and y1 are the first outside."""


@dataclass(frozen=True)
class Extent:
    """Where the objects are at one time, so that no ray is spent on anything else."""

    box: Box
    """In the frame's own pixels."""
    far: float
    """Distance from the camera's plane behind which nothing of them is; what is there cannot hide them."""


@dataclass(frozen=True)
class Stage:
    """A temporary scene with nothing in it but what hides and is hidden."""

    scene: bpy.types.Scene
    view: pose.View
    """The rig's own scene, as the artist has it."""
    finder: bpy.types.Object
    """The camera that renders: it sees `frame` as the filming one does."""
    frame: Box
    """What is rendered, in straight pixels of the plate; may begin below 0."""
    holes: bpy.types.Collection
    """What cuts holes."""
    waiting: set[bpy.types.Object]
    """What will, once it may hide something: in every frame each triangle costs time, be it far behind."""


def write(
    targets: set[bpy.types.Object], view: pose.View, times: Sequence[float], *, motion_blur: bool
) -> Iterator[Grey]:
    """At each of `times`, in frames of the view's scene: uint8 [H, W] of the plate, 255 where all of it is `targets`.

    Everything else of the scene cuts holes where it is in front. Materials count for nothing: a card with a picture of
    hair is a card.
    """
    with pose.time_kept(view.scene), _stage(targets, view) as stage, tempfile.TemporaryDirectory() as folder:
        stage.scene.render.use_motion_blur = motion_blur
        for time in times:
            pose.set_time(view.scene, time)
            stage.scene.frame_current, stage.scene.frame_subframe = view.scene.frame_current, view.scene.frame_subframe
            extent = None if motion_blur else _extent(targets, stage)
            seen = _render(stage, extent, Path(folder) / "seen.exr")
            bent = view.lens.warp(seen) if view.lens else seen
            yield np.rint(bent * 255).astype(np.uint8)


# --- the stage --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stage(targets: set[bpy.types.Object], view: pose.View) -> Iterator[Stage]:
    """A scene where `targets` shine, everything else is a hole, and light is written as it is."""
    x0, y0, x1, y1 = frame = view.lens.frame if view.lens else (0, 0, view.width, view.height)
    with stills.copy_of(view.scene) as copy, _glow() as glow, _collections() as (shown, holes):
        stills.prepare(copy, x1 - x0, y1 - y0, "BW", stills.Format.HALF)
        copy.render.image_settings.exr_codec = "NONE"
        _trace(copy)
        _empty(copy)
        for collection in (shown, holes):
            copy.collection.children.link(collection)
        for thing in targets:
            shown.objects.link(thing)
        layer = copy.view_layers.new(".wan_animate")  # none of the artist's passes, samples and overrides
        for other in copy.view_layers:
            other.use = other == layer
        layer.material_override = glow
        layer.layer_collection.children[holes.name].holdout = True
        with aim.camera(copy) as finder:
            copy.camera = finder
            try:
                yield Stage(copy, view, finder, frame, holes, things_of(view) - targets)
            finally:
                copy.render.use_persistent_data = False  # which frees what was kept


def _trace(scene: bpy.types.Scene) -> None:
    """Ask Cycles for the coverage of pixels and nothing else."""
    stills.trace(scene, SAMPLES)
    render, cycles = scene.render, scene.cycles
    render.use_persistent_data = True  # else every frame begins with all of the scene
    render.film_transparent = render.use_freestyle = False
    cycles.use_adaptive_sampling, cycles.adaptive_min_samples, cycles.adaptive_threshold = True, LEAST, ALIKE
    cycles.max_bounces, cycles.pixel_filter_type = 0, "BOX"
    cycles.sampling_pattern = "BLUE_NOISE"  # of these 64 rays; of the others' one pixel in a thousand is off by more
    cycles.film_exposure, cycles.time_limit, cycles.sample_offset = 1.0, 0.0, 0
    cycles.use_light_tree = cycles.shading_system = False


def _empty(scene: bpy.types.Scene) -> None:
    """Take everything out of a temporary scene; the artist's collections stay as they are."""
    scene.world = scene.background_set = None
    scene.timeline_markers.clear()
    for child in list(scene.collection.children):
        scene.collection.children.unlink(child)
    for thing in list(scene.collection.objects):
        scene.collection.objects.unlink(thing)


def things_of(view: pose.View) -> set[bpy.types.Object]:
    """All that is in the rig's view layer, or behind it as a background set, and may hide something in renders.

    Also what is hidden at this time: keyframes may show it at another.
    """
    things = set(_things(pose.layer(view).layer_collection))
    behind = view.scene.background_set
    while behind:
        things |= set(behind.objects)
        behind = behind.background_set
    return {thing for thing in things if pose.is_solid(thing)}


def _things(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.Object]:
    if layer.exclude or layer.indirect_only or layer.collection.hide_render:
        return
    yield from layer.collection.objects
    for child in layer.children:
        yield from _things(child)


@contextlib.contextmanager
def _collections() -> Iterator[tuple[bpy.types.Collection, bpy.types.Collection]]:
    """Two collections for the temporary scene, so that objects need not be touched."""
    made = [bpy.data.collections.new(".wan_animate") for _ in range(2)]
    try:
        yield made[0], made[1]
    finally:
        for collection in made:
            bpy.data.collections.remove(collection)


@contextlib.contextmanager
def _glow() -> Iterator[bpy.types.Material]:
    """A material that shines white whatever the light, and lights nothing: else each face of it would be a lamp."""
    material = bpy.data.materials.new(".wan_animate")
    if material.node_tree is None:
        material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    shine = nodes.new("ShaderNodeEmission")
    shine.inputs["Color"].default_value = 1.0, 1.0, 1.0, 1.0
    links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    try:
        yield material
    finally:
        bpy.data.materials.remove(material)


# --- one frame --------------------------------------------------------------------------------------


def _extent(targets: set[bpy.types.Object], stage: Stage) -> Extent | None:
    """Where `targets` are now; None when that is not to be told."""
    if not all(_is_rendered_as_shown(thing, stage.view) for thing in targets):
        return None
    camera = _camera(stage)
    found = [
        _seen(_points(instance.object), np.array(instance.matrix_world), camera)
        for instance in pose.depsgraph(stage.view).object_instances
        if (instance.parent or instance.object).original in targets
    ]
    if not found:
        return None
    x, y, depth = np.concatenate(found, axis=1)
    if depth.min() <= 0:
        return None
    left, top, right, bottom = stage.frame
    x0, x1 = (int(np.clip(edge, 0, right - left)) for edge in (x.min() - MARGIN, x.max() + MARGIN + 1))
    y0, y1 = (int(np.clip(edge, 0, bottom - top)) for edge in (y.min() - MARGIN, y.max() + MARGIN + 1))
    box = (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, 1, 1)
    return Extent(box, depth.max() + (depth.max() - depth.min()) * SLACK + depth.max() * NEAR)


def _may_hide(thing: bpy.types.Object, extent: Extent, stage: Stage) -> bool:
    """Whether `thing` may now be in front of anything within `extent`."""
    has_instances = thing.is_instancer or any(modifier.type == "NODES" for modifier in thing.modifiers)
    if has_instances or not _is_rendered_as_shown(thing, stage.view):
        return True
    real = thing.evaluated_get(pose.depsgraph(stage.view))
    x, y, depth = _seen(np.array(real.bound_box), np.array(real.matrix_world), _camera(stage))
    x0, y0, x1, y1 = extent.box
    is_beside = x.max() < x0 - MARGIN or x.min() > x1 + MARGIN or y.max() < y0 - MARGIN or y.min() > y1 + MARGIN
    return bool(depth.min() <= 0 or not (is_beside or depth.min() > extent.far))


def _is_rendered_as_shown(thing: bpy.types.Object, view: pose.View) -> bool:
    """Whether the window's evaluation tells where `thing` is in renders."""
    if not thing.visible_get(view_layer=pose.layer(view)) or len(thing.particle_systems):
        return False
    return all(modifier.show_viewport or not modifier.show_render for modifier in thing.modifiers)


def _points(thing: bpy.types.Object) -> np.ndarray:
    """[n, 3]: points of an evaluated object, in its own space, beyond which nothing of it is."""
    if thing.type != "MESH" or not len(thing.data.vertices):
        return np.array(thing.bound_box)
    found = np.empty((len(thing.data.vertices), 3), np.float32)
    thing.data.vertices.foreach_get("co", found.ravel())
    return found


def _camera(stage: Stage) -> np.ndarray:
    """4×4 of the filming camera at this time: world to x·w, y·w in pixels of the frame, w, and depth."""
    camera, view = pose.camera_now(stage.view), stage.view
    placed = camera.evaluated_get(pose.depsgraph(view)).matrix_world.normalized()
    local = np.array(placed.inverted())
    x, y, _, w = pose.projection(view, camera) @ local
    left, top, _, _ = stage.frame
    return np.stack([(x + w) / 2 * view.width - left * w, (w - y) / 2 * view.height - top * w, w, -local[2]])


def _seen(points: np.ndarray, matrix: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Points [n, 3] of a thing that lies at `matrix` to [3, n]: x, y in pixels of the frame, and depth."""
    place = camera @ matrix
    x, y, w, depth = place[:, :3].astype(np.float32) @ points.T + place[:, 3:].astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([x / w, y / w, depth])


def _render(stage: Stage, extent: Extent | None, file: Path) -> np.ndarray:
    """The stage as it stands: float32 [h, w] of its frame, 0–1. Only within `extent`, unless that proves too small."""
    left, top, right, bottom = stage.frame
    whole = np.zeros((bottom - top, right - left), np.float32)
    aim.at(stage.finder, stage.view, stage.frame, stage.scene.render)
    for thing in [thing for thing in stage.waiting if extent is None or _may_hide(thing, extent, stage)]:
        stage.holes.objects.link(thing)
        stage.waiting.remove(thing)
    if extent:
        stage.finder.data.clip_end = min(stage.finder.data.clip_end, extent.far)
    x0, y0, x1, y1 = extent.box if extent else (0, 0, right - left, bottom - top)
    _set_border(stage.scene.render, (x0, y0, x1, y1), whole.shape)
    part = whole[y0:y1, x0:x1]
    part[:] = grey.read_light(stills.write(stage.scene, file))
    is_cut = (
        (x0 > 0 and part[:, 0].any())
        or (y0 > 0 and part[0].any())
        or (x1 < right - left and part[:, -1].any())
        or (y1 < bottom - top and part[-1].any())
    )
    return _render(stage, None, file) if is_cut else whole


def _set_border(render: bpy.types.RenderSettings, box: Box, shape: tuple[int, ...]) -> None:
    """Render only `box`. Blender cuts fractions of pixels off; a half more keeps the float from falling below."""
    height, width = shape
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x = (box[0] + 0.5) / width, (box[2] + 0.5) / width
    render.border_min_y, render.border_max_y = (height - box[3] + 0.5) / height, (height - box[1] + 0.5) / height
